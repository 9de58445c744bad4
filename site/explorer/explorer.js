/* The explorer of book/explorer.md: a reader drags n, and the map follows.

   Nothing here asks a server. `python site explorer` wrote down, for each scene and model, what the neurons of
   the combine layer know; this file ranks them, adds up their small maps and paints the sum, with parts/maps.js.
   Read it from top to bottom: the method, plots, the page. export.py names what the parts hold. */
"use strict";

(() => {
  const { CELLS, SIDE, loader, image: decode, floats, percent, share } = window.qgcMaps; // maps.js
  const { rankGrounding, rankedAbove, sparse, cosine, relu } = window.qgcMaps;
  const { neuronMaps, randomScores, ranking, running, mapOf } = window.qgcMaps;
  const { newCanvas, tintsOf, heatGradient, paintMap, paintOutlines, later } = window.qgcMaps;
  const DRAWS = 40; // random rankings behind the band and the verdict
  const ENOUGH = 38; // of them, 95 %: a gate that is better than so many is better than chance
  const load = loader(document.currentScript.src, "qgcExplorer");

  // -- the method -----------------------------------------------------------------------------------
  // Scores of the neurons for question a whose partner is b; the gate lets the n highest through (§3.3 of the paper).
  const RANKINGS = {
    paper: { label: "most sensitive first", value: "∂A/∂q", score: (a) => a.sensitivity },
    least: { label: "least sensitive first", value: "−∂A/∂q", score: (a) => a.sensitivity.map((x) => -x) },
    other: { label: "the other question’s", value: "the other’s ∂A/∂q", score: (a, b) => b.sensitivity },
    strength: { label: "strongest: |g|", value: "|g|", score: (a) => a.g.map(Math.abs) },
    difference: {
      label: "what differs: |g − g′|",
      value: "|g − g′|",
      score: (a, b) => a.g.map((x, j) => Math.abs(x - b.g[j])),
    },
    random: { label: "random", value: "", score: (a, b, seed) => randomScores(seed, a.g.length) },
    contrast: { label: "no gate: contrast", value: "", score: (a) => a.g.map(Math.abs) },
  };

  function sharesOfAll(maps, inside, anywhere) {
    return Float32Array.from({ length: maps.length / CELLS }, (_, i) => share(mapOf(maps, i + 1), inside, anywhere));
  }

  const ranksOfAll = (maps, covers) =>
    Float32Array.from({ length: maps.length / CELLS }, (_, i) => rankedAbove(mapOf(maps, i + 1), ...covers));

  // -- plots: n runs along a square-root scale, as maps change most at small n -----------------------
  const WIDTH = 1000;
  const HEIGHT = 300;
  const across = (n, size) => WIDTH * Math.sqrt(n / size);

  function barsPath(values) {
    const top = Math.max(...values.map(Math.abs)) || 1;
    const steps = Array.from(values, (value, i) => {
      const y = (HEIGHT * (1 - Math.abs(value) / top)).toFixed(1);
      return `V${y}H${across(i + 1, values.length).toFixed(1)}`;
    });
    return `M0 ${HEIGHT}${steps.join("")}V${HEIGHT}Z`;
  }

  function curvePath(shares, top) {
    let pen = "M"; // lifted where the map is empty
    return Array.from(shares, (value, i) => {
      if (Number.isNaN(value)) return (pen = "M") && "";
      const point = `${pen}${across(i + 1, shares.length).toFixed(1)} ${(HEIGHT * (1 - value / top)).toFixed(1)}`;
      pen = "L";
      return point;
    }).join("");
  }

  function bandPath(low, high, top) {
    const there = Array.from(low.keys()).filter((i) => !Number.isNaN(low[i]));
    const point = (values) => (i) =>
      `${across(i + 1, low.length).toFixed(1)} ${(HEIGHT * (1 - values[i] / top)).toFixed(1)}`;
    return there.length ? `M${[...there.map(point(high)), ...there.reverse().map(point(low))].join("L")}Z` : "";
  }

  // -- the page: what is on it ------------------------------------------------------------------------
  // The cut at n is an element over the plot, so that a drag moves it and nothing is drawn again.
  const plot = (kind, paths) => `
    <div class="qx-plot"><p data-at="${kind}-title"></p>
      <div class="qx-frame">
        <svg viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" aria-hidden="true">${paths}</svg>
        <i class="qx-cut qx-cut-${kind}" data-at="${kind}-cut"></i></div>
      <div class="qx-axis" aria-hidden="true"><span>1</span><span style="left:31.25%">100</span><span
        style="left:62.5%">400</span><span>1024</span></div></div>`;

  const CURVES = `<path data-at="band-other" class="qx-band qx-dashed"/><path data-at="band-own" class="qx-band"/>
    <path data-at="curve-other" class="qx-line qx-dashed"/><path data-at="curve-own" class="qx-line"/>`;

  // The maps, the slider and the verdict stay in view while the plots below them are read (explorer.css).
  const mapOfSide = (side) => `
    <div class="qx-map qx-${side}"><h2 id="qx-${side}-title" data-at="title"></h2>
      <canvas role="img" width="${SIDE}" height="${SIDE}" data-at="map"></canvas></div>`;

  // No <output>: screen readers would read it out for every step of a drag; `say` speaks once it has ended.
  const panel = (side) => `
    <section class="qx-panel qx-${side}" aria-labelledby="qx-${side}-title">
      <p class="qx-said" data-at="said"></p>
      <div class="qx-share"><span data-at="own-label"></span><strong data-at="own"></strong>
        <div class="qx-track" aria-hidden="true"><i data-at="own-fill"></i><b data-at="own-even"></b></div></div>
      <div class="qx-share qx-not-asked"><span data-at="other-label"></span><strong data-at="other"></strong>
        <div class="qx-track" aria-hidden="true"><i data-at="other-fill"></i><b data-at="other-even"></b></div></div>
      <p class="qx-strength" data-at="strength"></p>
      ${plot("bars", '<path data-at="bars" class="qx-bars"/>')}
      ${plot("curve", CURVES)}
    </section>`;

  const choice = (name, label) => `<label class="qx-${name}">${label}<select name="${name}"></select></label>`;

  const PAGE = `
    <form class="qx-choices" aria-label="What to look at" autocomplete="off">
      <canvas role="img" width="${SIDE}" height="${SIDE}" data-at="scene"></canvas>
      <div class="qx-fields">
        ${choice("scene", "Scene")} ${choice("model", "Model")}
        ${choice("q", "First question")} ${choice("other", "Second question")}
        ${choice("answer", "Answer to explain")} ${choice("rank", "Neurons that pass")}
        <button type="button" name="draw" hidden>Draw again</button>
      </div>
    </form>
    <div class="qx-stage">
      <div class="qx-maps">${mapOfSide("a")}${mapOfSide("b")}</div>
      <fieldset class="qx-n"><legend class="qgc-voice">n, how many neurons pass</legend>
        <div class="qx-row"><p><strong data-at="n-title"></strong> <small data-at="n-scale"></small></p>
          <button type="button" name="less" aria-label="One neuron fewer">−</button>
          <label class="qx-exact"><span>n =</span>
            <input type="number" name="n" min="1" step="1" inputmode="numeric"></label>
          <button type="button" name="more" aria-label="One neuron more">+</button></div>
        <div class="qx-slide"><input type="range" min="0" max="1" step="any" name="slide"
          aria-label="n, how many neurons pass"><div class="qx-ticks" data-at="ticks"></div></div>
      </fieldset>
      <p class="qx-verdict"><strong data-at="verdict"></strong> <span data-at="luck"></span></p>
    </div>
    <div class="qx-ranks"><p data-at="rank"></p>
      <div class="qx-scale" aria-hidden="true"><span data-at="rank-low"></span><div><b></b><i data-at="rank-a"></i><i
        data-at="rank-b"></i></div><span data-at="rank-high"></span></div></div>
    <p class="qx-alike" data-at="alike"></p>
    <div class="qx-legend"><span>0</span><i data-at="heat" role="img"
      aria-label="Colors of the heat, from pale to dark"></i><span>1</span>
      <small>share of the map’s own maximum</small></div>
    <div class="qx-panels">${panel("a")}${panel("b")}</div>
    <p class="qx-key"><b></b> what an even map would have <i></i> the middle 90 % of ${DRAWS} random gates;
      <em>n</em> has a square-root scale in every plot</p>
    <p class="qx-link"><a data-at="link" href="#">Link to this view</a> <span data-at="copied" role="status"></span></p>
    <p class="qgc-problem" role="alert" data-at="problem"></p>
    <p class="qgc-voice" aria-live="polite" data-at="voice"></p>`;

  // -- the page: state ----------------------------------------------------------------------------------
  const START = {
    scene: "bathroom",
    model: "deeper-lstm/natural",
    q: "",
    other: "",
    answer: "true",
    rank: "paper",
    draw: "0",
    n: "25",
  };
  const whole = (text, low, high) => Math.min(Math.max(Math.round(Number(text)) || low, low), high);

  function readFragment() {
    const found = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
    return Object.fromEntries(Object.keys(START).map((key) => [key, found[key] ?? START[key]]));
  }

  function fragment(state) {
    const said = Object.entries(state).filter(([key]) => key !== "draw" || state.rank === "random");
    return "#" + new URLSearchParams(said).toString().replaceAll("%2F", "/");
  }

  async function start(root) {
    const index = await load("index");
    root.innerHTML = PAGE;
    const found = new Map(); // a drag looks for some thirty elements in every frame
    const at = (name, side) => {
      const selector = `${side === undefined ? "" : `.qx-${"ab"[side]} `}[data-at="${name}"]`;
      if (!found.has(selector)) found.set(selector, root.querySelector(selector));
      return found.get(selector);
    };
    const control = Object.fromEntries([...root.querySelectorAll("[name]")].map((element) => [element.name, element]));
    const heat = floats(index.heat);
    const tints = tintsOf(heat);
    const state = readFragment();
    const images = new Map();
    let shown = null; // what is on the page: the scene, its two views, and the rankings' running sums
    let finished = 0; // choices that are through, well or not; tests wait for it
    let ticket = 0; // the latest choice; earlier ones that are still loading give up

    // -- choices --
    // Options are [value, words, group]; those of a group stand below its name.
    function offer(select, options, value) {
      const groups = new Map([[undefined, select]]);
      select.replaceChildren();
      for (const [key, words, group] of options) {
        if (!groups.has(group)) {
          groups.set(group, Object.assign(document.createElement("optgroup"), { label: group }));
          select.append(groups.get(group));
        }
        groups.get(group).append(new Option(words, key, false, key === value));
      }
    }

    function known(key, values) {
      if (!values.includes(state[key])) state[key] = values[0];
    }

    // Two different questions; without a choice, the second has the first one's answer, as in the paper.
    function checkQuestions(questions) {
      const things = questions.map(({ thing }) => thing);
      known("q", things);
      const { answer } = questions[things.indexOf(state.q)];
      const others = questions.filter(({ thing }) => thing !== state.q);
      if (!others.some(({ thing }) => thing === state.other))
        state.other = (others.find((other) => other.answer === answer) ?? others[0]).thing;
    }

    function offerQuestions(questions) {
      const { answer } = questions.find(({ thing }) => thing === state.q);
      const words = (asked) => [asked.thing, `${asked.question} ${asked.answer}`];
      const group = (asked) => (asked.answer === answer ? `The same answer: ${answer}` : "Another answer");
      const others = questions
        .filter(({ thing }) => thing !== state.q)
        .sort((a, b) => (b.answer === answer) - (a.answer === answer));
      offer(control.q, questions.map(words), state.q);
      offer(
        control.other,
        others.map((asked) => [...words(asked), group(asked)]),
        state.other,
      );
    }

    function pickAnswer(question, asked) {
      if (state.answer === "true") return asked.answer;
      return state.answer === "said" ? question.said : state.answer;
    }

    function offerAnswers(scene, model, pair) {
      known("answer", ["true", "said", ...model.answers]);
      const both = (words) => [...new Set(words)].join(" / ");
      offer(
        control.answer,
        [
          ["true", `true: ${both(pair.map((i) => scene.questions[i].answer))}`],
          ["said", `the model’s: ${both(pair.map((i) => model.questions[i].said))}`],
          ...model.answers.map((answer) => [answer, answer]),
        ],
        state.answer,
      );
    }

    // Short, to be read on a phone: the model of most chapters goes without its family's name.
    function modelLabel(name) {
      const [family, kind] = name.split("/");
      return family === "deeper-lstm" ? kind : `${kind}, ${family[0].toUpperCase()}${family.slice(1)}`;
    }

    const image = (source) => {
      if (!images.has(source)) images.set(source, decode(source));
      return images.get(source);
    };

    // Everything that a choice other than n changes.
    async function choose() {
      const mine = ++ticket;
      known("scene", Object.keys(index.scenes));
      known("model", index.models);
      known("rank", Object.keys(RANKINGS));
      state.draw = String(whole(state.draw, 0, 999));
      root.setAttribute("aria-busy", "true");
      try {
        const name = `${state.scene}.${state.model.replace("/", "-")}`;
        const [scene, model] = await Promise.all([load(state.scene), load(name)]);
        if (mine !== ticket) return;
        const things = scene.questions.map((question) => question.thing);
        checkQuestions(scene.questions);
        const pair = [state.q, state.other].map((thing) => things.indexOf(thing));
        const [pale, colours, ...maps] = await Promise.all([
          image(scene.pale),
          image(scene.picture),
          ...pair.map((i) => load(model.questions[i].maps)),
        ]);
        if (mine !== ticket) return;
        const views = pair.map((i, side) => viewOf(scene.questions[i], model, model.questions[i], maps[side]));
        shown = { scene, views, pale, size: views[0].g.length };
        rankAndSum();
        offerAll(scene, model, pair);
        paintScene(colours);
        at("problem").textContent = "";
        paintChoice();
        compare(mine);
      } catch (error) {
        if (mine === ticket) at("problem").textContent = error.message;
      } finally {
        if (mine === ticket) root.removeAttribute("aria-busy");
        root.dataset.choices = ++finished;
      }
    }

    function viewOf(asked, model, question, packed) {
      const answer = pickAnswer(question, asked);
      const u = floats(question.u);
      // An answer that came with a link to another scene may not be on offer here.
      const explained = Object.hasOwn(question.c, answer) ? answer : (state.answer = "true") && asked.answer;
      const c = floats(model.rows[question.c[explained]]);
      return {
        ...asked,
        answer: explained,
        said: question.said,
        probability: question.probability,
        sensitivity: floats(question.sensitivity),
        g: u.map((x, j) => c[j] * x),
        P: neuronMaps(packed),
      };
    }

    function rankAndSum() {
      const { views, scene } = shown;
      const anywhere = floats(scene.anywhere);
      views.forEach((view, side) => {
        const partner = views[1 - side];
        view.scores = RANKINGS[state.rank].score(view, partner, 2 * Number(state.draw) + side);
        view.order = ranking(view.scores);
        view.maps = running(view.order, view.g, view.P);
        view.inside = [view.thing, partner.thing].map((thing) => floats(scene.things[thing].inside));
        view.anywhere = anywhere;
        view.full = mapOf(view.maps, view.order.length);
      });
      shown.covers = views.map(({ thing }) => sparse(floats(scene.things[thing].cover)));
      if (state.rank === "contrast") {
        const [first, second] = views.map((view) => view.full);
        views[0].contrast = first.map((value, cell) => value - second[cell]);
        views[1].contrast = second.map((value, cell) => value - first[cell]);
      }
      for (const view of views) {
        if (view.contrast) view.shares = view.inside.map((inside) => [share(view.contrast, inside, anywhere)]);
        else view.shares = view.inside.map((inside) => sharesOfAll(view.maps, inside, anywhere));
      }
      shown.top = highest(views.flatMap((view) => view.shares));
    }

    function offerAll(scene, model, pair) {
      offer(control.scene, Object.entries(index.scenes), state.scene);
      offer(
        control.model,
        index.models.map((name) => [name, modelLabel(name)]),
        state.model,
      );
      offerQuestions(scene.questions);
      offerAnswers(scene, model, pair);
      offer(
        control.rank,
        Object.entries(RANKINGS).map(([name, { label }]) => [name, label]),
        state.rank,
      );
      control.draw.hidden = state.rank !== "random";
      control.draw.textContent = `Draw again (this is draw ${Number(state.draw) + 1})`;
      root.querySelector(".qx-n").disabled = state.rank === "contrast";
      control.n.max = shown.size;
      at("ticks").replaceChildren(...[1, ...scene.paperN].map(tick));
    }

    function tick(n) {
      const mark = document.createElement("button");
      mark.type = "button";
      mark.tabIndex = -1; // PageUp and PageDown on the slider go to the same places
      mark.style.left = `${100 * Math.sqrt(n / shown.size)}%`;
      mark.title = n === shown.size ? `n = ${n}: plain Grad-CAM` : n === 1 ? "n = 1" : `n = ${n}, one of the paper’s`;
      mark.textContent = [1, 10, 25, 50, 100, 200, 400, 750, shown.size].includes(n) ? n : "";
      if (n === 10) mark.className = "qx-dense"; // a phone has no room for its number beside 25's
      mark.onclick = () => setN(n);
      return mark;
    }

    // -- what does not change with n --
    const colourOf = (side) => index.outlines[side];
    const outlineOf = (side, dashed) => ({
      path: new Path2D(shown.scene.things[shown.views[side].thing].outline),
      colour: colourOf(side),
      dashed,
    });

    function paintScene(colours) {
      const context = at("scene").getContext("2d");
      context.drawImage(colours, 0, 0, SIDE, SIDE);
      paintOutlines(context, [outlineOf(0), outlineOf(1)]);
      at("scene").setAttribute("aria-label", `The scene: ${shown.scene.about}.`);
    }

    function paintChoice() {
      shown.views.forEach((view, side) => {
        const other = shown.views[1 - side];
        at("title", side).textContent = view.question;
        at("said", side).textContent = saidBy(view);
        at("own-label", side).textContent = `on the ${view.thing} (asked)`;
        at("other-label", side).textContent = `on the ${other.thing}`;
        [
          ["own", view],
          ["other", other],
        ].forEach(([name, { thing }]) => {
          at(`${name}-even`, side).style.left = `${100 * shown.scene.things[thing].area}%`;
          at(`${name}-even`, side).title = `an even map: ${percent(shown.scene.things[thing].area)}`;
        });
        // Dashes take long to draw: once here, then copied for every frame.
        view.lines = newCanvas(SIDE);
        paintOutlines(view.lines.getContext("2d"), [outlineOf(1 - side, true), outlineOf(side, false)]);
        paintBars(side, view);
        paintCurves(side, view);
      });
      paint();
      say();
      remember();
    }

    function saidBy(view) {
      const chance = ` (${Math.round(100 * (view.probability[view.said] ?? 0))} %)`;
      const own = `The model says ${view.said}${chance}.`;
      return view.said === view.answer
        ? own
        : `${own} Explained: ${view.answer} (${Math.round(100 * view.probability[view.answer])} %).`;
    }

    function paintBars(side, view) {
      const { value } = RANKINGS[state.rank];
      const values = Array.from(view.order, (j) => view.scores[j]);
      at("bars", side).setAttribute("d", value ? barsPath(values) : "");
      at("bars-title", side).textContent = `${value}, ranked`;
      at("bars", side).closest(".qx-plot").hidden = !value;
    }

    function paintCurves(side, view) {
      const hide = Boolean(view.contrast);
      const { top } = shown; // the same in both plots, so that they can be compared
      at("curve-title", side).textContent = `Both shares for every n (top: ${Math.round(100 * top)} %)`;
      ["own", "other"].forEach((name, i) => {
        at(`curve-${name}`, side).setAttribute("d", hide ? "" : curvePath(view.shares[i], top));
        at(`band-${name}`, side).setAttribute("d", view.bands ? bandPath(...view.bands[i], top) : "");
      });
      at("curve-own", side).closest(".qx-plot").hidden = hide;
    }

    const pause = () => new Promise((resolve) => setTimeout(resolve, 4));

    // Random gates, draw by draw, so that the page stays responsive: the middle 90 % of their shares, and their ranks.
    async function compare(mine) {
      if (state.rank === "contrast") return;
      for (const [side, view] of shown.views.entries()) {
        const drawn = view.inside.map(() => []);
        const ranks = [];
        for (let draw = 0; draw < DRAWS; draw++) {
          await pause();
          if (mine !== ticket) return;
          const order = ranking(randomScores(2 * (draw + 1000) + side, shown.size)); // other draws than those on offer
          const maps = running(order, view.g, view.P);
          view.inside.forEach((inside, i) => drawn[i].push(sharesOfAll(maps, inside, view.anywhere)));
          await pause(); // ranks of two large objects take as long as all before
          if (mine !== ticket) return;
          ranks.push(ranksOfAll(maps, shown.covers));
        }
        view.bands = drawn.map((shares) => middle(shares, shown.size));
        view.ranks = ranks;
      }
      shown.top = highest(shown.views.flatMap((view) => [...view.shares, ...view.bands.map(([, high]) => high)]));
      shown.views.forEach((view, side) => paintCurves(side, view));
      paintRank();
      say();
    }

    const highest = (curves) =>
      Math.min(1, 1.05 * Math.max(0.05, ...curves.flatMap((s) => Array.from(s).filter((x) => x === x))));

    function middle(drawn, size) {
      const low = new Float32Array(size).fill(NaN);
      const high = new Float32Array(size).fill(NaN);
      for (let i = 0; i < size; i++) {
        const values = drawn
          .map((shares) => shares[i])
          .filter((x) => x === x)
          .sort((a, b) => a - b);
        if (!values.length) continue;
        low[i] = values[Math.round(0.05 * (values.length - 1))];
        high[i] = values[Math.round(0.95 * (values.length - 1))];
      }
      return [low, high];
    }

    // -- what changes with n: this runs for every frame of a drag --
    const nNow = () => whole(state.n, 1, shown.size);
    const rawNow = (view) => view.contrast ?? mapOf(view.maps, nNow());
    const mapNow = (view) => relu(rawNow(view));
    const shareNow = (view, i) => view.shares[i][view.contrast ? 0 : nNow() - 1];

    function paint() {
      const n = nNow();
      const maps = shown.views.map(mapNow);
      shown.views.forEach((view, side) => paintPanel(side, view, maps[side], n));
      const alike = cosine(maps[0], maps[1]);
      at("alike").textContent =
        Number.isNaN(alike) || state.rank === "contrast"
          ? ""
          : `Cosine of the two maps: ${alike.toFixed(3)} (1: the same; 0: no place in common)`;
      paintRank();
      at("n-title").textContent =
        state.rank === "contrast"
          ? "Without a gate, n plays no part"
          : n === shown.size
            ? `All ${n} neurons pass: plain Grad-CAM`
            : `${n} of ${shown.size} neurons pass`;
      at("n-scale").textContent = `Square-root scale: the middle is n = ${Math.round(shown.size / 4)}.`;
      control.slide.value = Math.sqrt(n / shown.size);
      control.slide.setAttribute("aria-valuetext", `${n} of ${shown.size} neurons`);
      if (document.activeElement !== control.n) control.n.value = n;
    }

    function paintRank() {
      const { views, covers } = shown;
      const inputs = views[0].contrast ? Math.max(...views.flatMap(({ full }) => Array.from(full, Math.abs))) : 0;
      const { a, empty, verdict } = rankGrounding(views.map(rawNow), covers, inputs);
      const [one, two] = views.map(({ thing }) => thing);
      at("verdict").textContent = empty
        ? "Tie: one of the maps is empty, so it ranks nothing."
        : {
            1: "Grounded: each object stands out more under its own question.",
            0.5: "Tie: both maps rank the two objects alike.",
            0: "Not grounded: each object stands out more under the other’s question.",
          }[verdict];
      at("luck").textContent = luck(a[0] - a[1]);
      at("rank").textContent =
        `The first question’s map puts the ${one} above the ${two} in ${percent(a[0])} of random pairs of their ` +
        `cells, the second’s map in ${percent(a[1])}.`;
      at("rank-low").textContent = `${two} above`;
      at("rank-high").textContent = `${one} above`;
      ["a", "b"].forEach((side, i) => (at(`rank-${side}`).style.left = `${100 * a[i]}%`));
    }

    // Is the verdict more than chance? Random gates with as many neurons say so.
    function luck(effect) {
      const ranks = shown.views.map((view) => view.ranks);
      const n = nNow();
      if (state.rank === "contrast") return "No gate, so there is no random gate to compare with.";
      if (n === shown.size) return "With all neurons every gate is the same.";
      if (!ranks[1]) return `${DRAWS} random gates are being compared …`;
      const worse = ranks[0].filter((first, draw) => effect > first[n - 1] - ranks[1][draw][n - 1]).length;
      const enough = worse < ENOUGH ? `${ENOUGH} would be needed.` : "more than chance gives.";
      return `Better than ${worse} of ${DRAWS} random gates of this size; ${enough}`;
    }

    function paintPanel(side, view, map, n) {
      paintMap(at("map", side).getContext("2d"), shown.pale, map, tints, view.lines);
      ["own", "other"].forEach((name, i) => {
        const value = shareNow(view, i);
        at(name, side).textContent = percent(value);
        at(`${name}-fill`, side).style.width = `${100 * (value || 0)}%`;
      });
      for (const name of ["bars-cut", "curve-cut"])
        at(name, side).style.transform = `translateX(${100 * Math.sqrt(n / shown.size)}%)`;
      at("strength", side).textContent = strength(view, map);
    }

    function strength(view, map) {
      const top = Math.max(...map);
      if (!(top > 0)) return "The map is empty: no cell is positive.";
      const all = Math.max(...view.full);
      return all > 0 ? `Its highest value is ${percent(top / all)} of plain Grad-CAM’s.` : "";
    }

    function setN(value) {
      state.n = String(whole(value, 1, shown.size));
      paint();
      say();
      remember();
    }

    function step(direction) {
      const stops = [1, ...shown.scene.paperN, shown.size];
      const n = nNow();
      return direction > 0
        ? Math.min(...stops.filter((s) => s > n), shown.size)
        : Math.max(...stops.filter((s) => s < n), 1);
    }

    // -- words for those who do not see the page, and the address --
    const say = later(600, () => {
      const lines = shown.views.map((view, side) => {
        const things = [view.thing, shown.views[1 - side].thing];
        const words = things.map((thing, i) => `${percent(shareNow(view, i))} on the ${thing}`).join(", ");
        at("map", side).setAttribute("aria-label", `Map for “${view.question}”, answer ${view.answer}: ${words}.`);
        return `${view.question} ${words}.`;
      });
      const rank = ["verdict", "luck", "rank"].map((name) => at(name).textContent).join(" ");
      const alike = `${at("alike").textContent}.`;
      at("voice").textContent = [`${at("n-title").textContent}.`, rank, ...lines, alike].join(" ");
    });

    const remember = later(250, () => {
      state.n = String(nNow());
      at("link").href = fragment(state);
      at("copied").textContent = "";
      try {
        history.replaceState(history.state, "", fragment(state));
      } catch {
        // Some browsers refuse on pages opened from a disk; the link below the maps still works.
      }
    });

    // -- events --
    for (const name of ["scene", "model", "q", "other", "answer", "rank"])
      control[name].addEventListener("change", () => {
        const before = { q: state.q, other: state.other };
        state[name] = control[name].value;
        if (state.q === state.other) Object.assign(state, { q: before.other, other: before.q }); // the same twice: swap
        choose();
      });
    control.draw.addEventListener("click", () => {
      state.draw = String((Number(state.draw) + 1) % 1000);
      choose();
    });
    control.slide.addEventListener("input", () => setN(control.slide.value ** 2 * shown.size));
    control.slide.addEventListener("keydown", (event) => {
      const n = nNow();
      const to = {
        ArrowRight: n + 1,
        ArrowUp: n + 1,
        ArrowLeft: n - 1,
        ArrowDown: n - 1,
        Home: 1,
        End: shown.size,
        PageUp: step(1),
        PageDown: step(-1),
      }[event.key];
      if (to === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      setN(to);
    });
    control.n.addEventListener("input", () => control.n.value && setN(control.n.value));
    control.n.addEventListener("change", () => (control.n.value = nNow()));
    control.less.addEventListener("click", () => setN(nNow() - 1));
    control.more.addEventListener("click", () => setN(nNow() + 1));
    root.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
    at("link").addEventListener("click", (event) => {
      event.preventDefault();
      const copying = navigator.clipboard?.writeText(at("link").href) ?? Promise.reject();
      copying
        .then(
          () => "copied",
          () => "the address of this page is the link",
        )
        .then((word) => (at("copied").textContent = word));
    });
    window.addEventListener("hashchange", () => {
      if (!location.hash.includes("=")) return; // a link to a heading
      Object.assign(state, readFragment());
      choose();
    });

    at("heat").style.background = heatGradient(heat, index.paper);
    root.style.setProperty("--qx-first", index.outlines[0]);
    root.style.setProperty("--qx-second", index.outlines[1]);
    await choose();
  }

  const root = document.getElementById("qgc-explorer");
  if (root)
    start(root).catch((error) => {
      root.textContent = `The explorer could not start: ${error.message}`;
    });
})();
