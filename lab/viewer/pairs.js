// Two students on the same samples: how many both get right, only one, neither.

export const answers = {
  draw(surface, content) {
    const { theme, scale: k } = surface;
    const counts = countAnswers(content);
    const [a, b] = content.sides.map(({ label }) => label);
    const rows = [
      ["both are right", counts.both, LAB.palette.distances.exact],
      [`only A, ${a}`, counts.onlyA, theme.a],
      [`only B, ${b}`, counts.onlyB, theme.b],
      ["neither is right", counts.neither, LAB.palette.distances.raw],
    ];
    const most = Math.max(1, ...rows.map(([, count]) => count));
    const height = Math.min(64 * k, (surface.height - 8 * k) / 4);
    rows.forEach(([name, count, colour], place) => {
      const y = 8 * k + place * height;
      surface.words(name.length > 40 ? `${name.slice(0, 39)}…` : name, 6 * k, y + 8 * k, { base: "middle" });
      surface.context.fillStyle = colour;
      const width = (count / most) * (surface.width - 70 * k);
      surface.context.fillRect(6 * k, y + 20 * k, width, height * 0.36);
      surface.words(String(count), 14 * k + width, y + 20 * k + height * 0.18, { base: "middle", bold: true });
    });
  },

  words(content) {
    const { both, onlyA, onlyB, neither } = countAnswers(content);
    return `Both right on ${both} samples, only A on ${onlyA}, only B on ${onlyB}, neither on ${neither}.`;
  },
};

function countAnswers({ frames: [a, b], run }) {
  const found = { both: 0, onlyA: 0, onlyB: 0, neither: 0 };
  for (let i = 0; i < run.labels.length; i += 1) {
    const [right, other] = [a, b].map((frame) => frame.arrays.answers[i] === run.labels[i]);
    found[right ? (other ? "both" : "onlyA") : other ? "onlyB" : "neither"] += 1;
  }
  return found;
}
