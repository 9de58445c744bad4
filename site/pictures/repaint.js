/* Repaint an object: do the answer's score and the map follow? (book/map-or-model.ipynb)

   Every color of both objects was put to the models before (export.py); here it is only shown, and subtracted. */
"use strict";

qgcPictures.part("repaint", async (root, data, index, tools) => {
  const { SIDE, image: decode, bytes } = window.qgcMaps;
  const { signed, whole, later, mount, sceneOf, peak } = tools;
  const models = Object.keys(data.of);
  const { things, answer, questions } = data;
  const radio = (name, value, words, checked) =>
    `<label><input type="radio" name="${name}" value="${value}" ${checked ? "checked" : ""}>${words}</label>`;
  const swatch = (colour) => `<i style="background:${data.colours[colour]}" aria-hidden="true"></i>${colour}`;
  const figure = (k) => `
    <figure class="qi-question-${k}"><figcaption><b>${questions[k]}</b></figcaption>
      <canvas role="img" width="${SIDE}" height="${SIDE}" data-at="map-${k}"></canvas>
      <p data-at="said-${k}"></p>
      <div class="qi-share"><span>“${answer}”</span><strong data-at="probability-${k}"></strong>
        <div aria-hidden="true"><i data-question="${k}" data-at="fill-${k}"></i><b data-at="before-${k}"></b></div>
      </div>
    </figure>`;
  const { at, control } = mount(
    root,
    `<form autocomplete="off" class="qi-paint">
      <fieldset><legend>Repaint the</legend>${things
        .map((thing, i) => radio("thing", thing, thing, !i))
        .join("")}</fieldset>
      <fieldset><legend>in</legend>${Object.keys(data.colours)
        .map((colour) => radio("colour", colour, swatch(colour), colour === answer))
        .join("")}</fieldset>
      <label class="qi-axis">Model <select name="model">${models
        .map((name) => `<option>${name}</option>`)
        .join("")}</select></label>
    </form>
    <p class="qi-says" data-at="says"></p>
    <div class="qi-three">
      <figure class="qi-wide"><figcaption><b data-at="painted"></b></figcaption>
        <canvas role="img" width="${SIDE}" height="${SIDE}" data-at="scene"></canvas></figure>
      ${figure(0)}${figure(1)}
    </div>
    <p class="qi-legend">Grad-CAM for “${answer}” over the unpainted scene, each scaled by its own maximum. Bars: its
      probability; the line: before.</p>
    <table><caption>How much of the score of “${answer}” is lost</caption>
      <thead><tr><td></td>${things.map((_, i) => `<th scope="col" data-at="column-${i}"></th>`).join("")}</tr></thead>
      <tbody>${questions
        .map(
          (question, k) =>
            `<tr><th scope="row">${question}</th>${things
              .map((_, i) => `<td data-at="lost-${k}-${i}"></td>`)
              .join("")}</tr>`,
        )
        .join("")}</tbody></table>
    <p class="qgc-voice" aria-live="polite" data-at="voice"></p>`,
  );
  const state = { thing: things[0], colour: answer, model: models[0] };
  const scene = await sceneOf(data, index);
  const patches = new Map(); // by address
  let ticket = 0; // the latest choice; one whose image is still being decoded gives up

  const seen = (thing, colour) => (colour === answer ? of().before : of()[thing][colour]);
  const of = () => data.of[state.model];
  const lost = (k, thing) => of().before[k].score - seen(thing, state.colour)[k].score;

  async function paint() {
    const mine = ++ticket;
    const { thing, colour } = state;
    const patch = data.patches[thing][colour];
    if (patch && !patches.has(patch.image)) patches.set(patch.image, await decode(patch.image));
    if (mine !== ticket) return;
    const context = at("scene").getContext("2d");
    context.drawImage(scene.picture, 0, 0, SIDE, SIDE);
    if (patch) context.drawImage(patches.get(patch.image), ...patch.at);
    at("painted").textContent = `The ${thing} in ${colour}`;
    at("scene").setAttribute("aria-label", `${data.about}, the ${thing} in ${colour}.`);
    seen(thing, colour).forEach((now, k) => {
      const before = of().before[k];
      const map = bytes(now.map);
      scene.paintHeat(at(`map-${k}`), map, k);
      at(`map-${k}`).setAttribute("aria-label", `Map for “${questions[k]}”, strongest ${peak(map)}.`);
      const kept = colour === answer ? "" : ` Map before and now: cosine ${signed(now.kept, 2)}.`;
      at(`said-${k}`).textContent = `The model says “${now.says}”.${kept}`;
      at(`probability-${k}`).textContent = whole(now.probability);
      at(`fill-${k}`).style.width = `${100 * now.probability}%`;
      at(`before-${k}`).style.left = `${100 * before.probability}%`;
      things.forEach(
        (one, i) => (at(`lost-${k}-${i}`).textContent = colour === answer ? "–" : signed(lost(k, one), 2)),
      );
    });
    things.forEach((one, i) => (at(`column-${i}`).textContent = `${one} ${colour === answer ? "repainted" : colour}`));
    at("says").innerHTML = verdict();
    say();
    root.dataset.steps = Number(root.dataset.steps ?? 0) + 1; // tests wait for it
  }

  function verdict() {
    if (state.colour === answer)
      return `Both are ${answer}, as drawn. Choose a color: a model that uses the queried object loses its score.`;
    return things
      .map((thing, k) => {
        const sizes = things.map((one) => Math.abs(lost(k, one)));
        const used = things[Number(sizes[1] > sizes[0])];
        const how = used === thing ? "as it should" : "though it should not";
        return `Asked about the ${thing}, <code>${state.model}</code> depends most on the ${used}, ${how}.`;
      })
      .join(" ");
  }

  const say = later(700, () => {
    const said = seen(state.thing, state.colour).map(
      (now, k) => `${questions[k]} ${at(`said-${k}`).textContent} “${answer}” ${whole(now.probability)}.`,
    );
    at("voice").textContent = [at("says").textContent, ...said].join(" ");
  });

  for (const name of ["thing", "colour"])
    for (const input of root.querySelectorAll(`[name=${name}]`))
      input.addEventListener("change", () => {
        state[name] = input.value;
        paint();
      });
  control.model.addEventListener("change", () => {
    state.model = control.model.value;
    paint();
  });
  await paint();
  return "Repaint an object";
});
