/* Pictures that explain: loading one when it comes into view, and what their programs share.

   A picture's program, NAME.js, hands a function to qgcPictures.part; it gets the element to fill, its data and the
   tools below, and returns what it shows, in words. Numbers and maps are parts/maps.js. */
"use strict";

(() => {
  const {
    SIDE,
    GRID,
    loader,
    image: decode,
    floats,
    newCanvas,
    paleOf,
    tintsOf,
    paintMap,
    paintOutlines,
    later,
    whenNear,
  } = window.qgcMaps;
  const load = loader(document.currentScript.src, "qgcPictures");

  // -- words --------------------------------------------------------------------------------------
  const signed = (value, digits = 3) =>
    value
      .toFixed(digits)
      .replace(/^-(0\.0*)$/, "$1")
      .replace("-", "−");
  const whole = (value) => (Number.isNaN(value) ? "–" : `${Math.round(100 * value)} %`);
  const counted = (value) => value.toLocaleString("en-US");

  // -- the page -----------------------------------------------------------------------------------
  // at("x"): the element with data-at="x"; control.x: the one with name="x".
  function mount(root, markup) {
    root.innerHTML = markup;
    const found = new Map([...root.querySelectorAll("[data-at]")].map((element) => [element.dataset.at, element]));
    const control = Object.fromEntries([...root.querySelectorAll("[name]")].map((element) => [element.name, element]));
    for (const form of root.querySelectorAll("form"))
      form.addEventListener("submit", (event) => event.preventDefault());
    return { at: (name) => found.get(name), control };
  }

  // Two questions to choose from, as radio buttons.
  const questions = (data) => `
    <fieldset class="qi-questions"><legend>Question (both explained for “${data.answer}”)</legend>
      ${data.questions
        .map(
          (question, k) => `<label class="qi-question-${k}"><input type="radio" name="question" value="${k}"
            ${k ? "" : "checked"}> ${question}</label>`,
        )
        .join("")}</fieldset>`;

  // Canvases know no styles: what is drawn in the page's colors is drawn again when the theme changes.
  const themed = [];
  const onTheme = (action) => themed.push(action);
  new MutationObserver(() => themed.forEach((action) => action())).observe(document.documentElement, {
    attributeFilter: ["data-theme"],
  });
  const colour = (root, name) => getComputedStyle(root).getPropertyValue(name).trim();

  // -- painting -----------------------------------------------------------------------------------
  // Numbers as cells, `across` of them in a row: the color says the sign, how strong it is the share of `top`.
  function paintCells(canvas, values, across, top, root) {
    canvas.width = across;
    canvas.height = Math.ceil(values.length / across);
    const context = canvas.getContext("2d");
    const inks = [colour(root, "--qi-minus"), colour(root, "--qi-plus")];
    values.forEach((value, i) => {
      context.globalAlpha = Math.min(Math.abs(value) / top, 1);
      context.fillStyle = inks[Number(value > 0)];
      context.fillRect(i % across, Math.floor(i / across), 1, 1);
    });
  }

  // The scene, and on demand a map over it: heat for what is positive, or both signs in two colors.
  async function sceneOf(data, index) {
    const picture = await decode(data.picture);
    const pale = paleOf(picture);
    const paths = data.regions.map(({ outline }) => new Path2D(outline));
    const heat = tintsOf(floats(index.heat));
    const sign = signTints(index);
    const lines = data.regions.map((_, k) => {
      const drawn = newCanvas(SIDE);
      const line = (i, dashed) => ({ path: paths[i], colour: index.outlines[i], dashed });
      paintOutlines(drawn.getContext("2d"), [line(1 - k, true), line(k)]);
      return drawn;
    });
    return {
      picture,
      paintHeat: (canvas, map, k) => paintMap(canvas.getContext("2d"), pale, map, heat, lines[k]),
      paintSigns(canvas, map) {
        const top = Math.max(...map.map(Math.abs)) || 1;
        const shares = map.map((value) => (value / top + 1) / 2);
        const context = canvas.getContext("2d");
        paintMap(context, pale, shares, sign, null, 1);
        paintOutlines(
          context,
          paths.map((path) => ({ path, colour: index.ink, dashed: true })),
        );
      },
    };
  }

  // 256 tints from the color of −1 over white to that of +1.
  function signTints({ minus, plus }) {
    const channels = (hex) => [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16) / 255);
    const tints = new Float32Array(3 * 256);
    for (let i = 0; i < 256; i++) {
      const part = Math.min(Math.abs(i - 127.5) / 127.5, 1);
      channels(i < 128 ? minus : plus).forEach((value, c) => (tints[3 * i + c] = 1 + (value - 1) * part));
    }
    return tintsOf(tints);
  }

  // Where a map is strongest, in words, for those who do not see it: rows and columns of its highest cell.
  function peak(map) {
    const cell = map.indexOf(Math.max(...map));
    const third = (part, words) => words[Math.min(Math.floor((3 * (part + 0.5)) / GRID), 2)];
    const row = third(Math.floor(cell / GRID), ["upper", "middle", "lower"]);
    const column = third(cell % GRID, ["left", "middle", "right"]);
    return row === column ? "in the middle" : `${row} ${column}`;
  }

  // -- begin: a picture is loaded when it is about to come into view ------------------------------------
  async function begin(root) {
    const name = root.dataset.picture;
    const fallback = root.innerHTML;
    try {
      const [index, data, draw] = await Promise.all(["index", `${name}-data`, name].map(load));
      root.style.setProperty("--qi-first", index.outlines[0]);
      root.style.setProperty("--qi-second", index.outlines[1]);
      const tools = { signed, whole, counted, later, mount, questions, onTheme, colour, paintCells, sceneOf, peak };
      root.setAttribute("aria-label", await draw(root, data, index, tools));
      root.setAttribute("role", "group");
      root.dataset.ready = "yes";
    } catch (error) {
      root.innerHTML = fallback; // the page reads well without the picture
      const problem = document.createElement("p");
      Object.assign(problem, {
        className: "qgc-problem",
        textContent: `The picture could not start: ${error.message}`,
      });
      root.append(problem);
    }
  }

  whenNear(".qgc-pictures", begin);
})();
