export function mountPlayground(root, host, scene) {
  return new View(root, host, scene);
}
