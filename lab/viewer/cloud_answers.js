// Answers to the playground's questions in a file, where no page of the lab stands behind it: shapes
// from the file's recording, the exact cost from exact_transport.js.

export class CloudAnswers {
  /** `shapes`: the recorded parts, one for each number of points. */
  constructor(shapes) {
    this.shapes = shapes;
  }

  /** Give the answer to a message to the playground, at once. */
  answer({ kind, number, ...question }, play) {
    const found = { shapes: () => this.shapesOf(question), clouds: () => this.exactOf(question) }[kind]?.();
    if (found) play.takeParts([{ kind, number, ...found }], false);
  }

  shapesOf({ points, seed }) {
    return this.shapes.find((part) => part.points === points && part.seed === seed) ?? { trouble: `This file has no shapes of ${points} points.` };
  }

  exactOf({ version, space, source, target, cost }) {
    const flat = space === "line";
    const matrix = costOf(cost, coordinatesOf(source, flat), coordinatesOf(target, flat), flat ? 1 : 2);
    const { value, f, g } = exactTransport(matrix, source.length, target.length);
    return { version, exact: value, arrays: { exact_f: f, exact_g: g } };
  }
}
