/* What the parts of the pages that work without a kernel share: loading data, reading numbers, painting maps.

   parts/__init__.py wrote the data. Loaded before the script of a part, which takes what it needs from
   `qgcMaps`. */
"use strict";

window.qgcMaps = (() => {
  const GRID = 14; // cells along a side of a map
  const CELLS = GRID * GRID;
  const HEAT_SIDE = 224; // pixels at which the heat is enlarged, those of a scene and its masks
  const SIDE = 448; // pixels at which it is shown, and the unit of the outlines
  const DARKEST = 0.72; // gray of a pale image's black

  // -- loading ------------------------------------------------------------------------------------
  // Parts are scripts, since fetch() refuses to read files beside a page that was opened from a disk.
  // loader(own, registry) → a function that loads NAME.js once, from beside the script whose address is `own`, and of
  // the same version; the file calls registry.part(NAME, its data).
  function loader(own, registry) {
    const parts = new Map();
    const [, folder, query] = own.match(/^([^?]*\/)[^/?]*(.*)$/);
    const name = folder.split("/").at(-2);
    const remedy = `The folder “${name}” belongs beside the folder “book”; then load the page again.`;
    window[registry] = { part: (name, data) => parts.get(name)?.resolve(data) };
    return (name) => {
      if (!parts.has(name)) {
        const entry = {};
        entry.promise = new Promise((resolve, reject) => Object.assign(entry, { resolve, reject }));
        parts.set(name, entry);
        const script = document.createElement("script");
        script.src = folder + name + ".js" + query;
        script.onerror = () => {
          parts.delete(name); // so that the next choice tries again
          entry.reject(new Error(`“${name}.js” could not be loaded. ${remedy}`));
        };
        document.head.append(script);
      }
      return parts.get(name).promise;
    };
  }

  async function image(source) {
    const picture = new Image();
    picture.src = source;
    await picture.decode();
    return picture;
  }

  // -- numbers --------------------------------------------------------------------------------------
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const floats = (text) => new Float32Array(bytes(text).buffer);
  const percent = (value) => (Number.isNaN(value) ? "–" : `${(100 * value).toFixed(1)} %`);

  // How much of a map (after its ReLU) lies on an object, NaN if it is empty.
  function share(map, inside, anywhere) {
    let on = 0;
    let all = 0;
    for (let cell = 0; cell < CELLS; cell++) {
      if (map[cell] <= 0) continue;
      on += map[cell] * inside[cell];
      all += map[cell] * anywhere[cell];
    }
    return on / all;
  }

  // qgc.measure.rank_grounding for two maps *before* their ReLU: a, how surely each ranks object 1 above object 2, and
  // whether the first does so more surely: 1, 0, or ½. `covers`: the part of each cell that each object covers
  // (cell_cover), as `sparse` gives it. A map that is nowhere above a millionth of `inputs`, what it was made of, is
  // rounding, and empty.
  function rankGrounding(maps, covers, inputs = 0) {
    const empty = maps.map((map) => map.every((value) => Math.abs(value) <= 1e-6 * inputs));
    const a = maps.map((map, i) => (empty[i] ? 0.5 : rankedAbove(map, ...covers)));
    const tie = empty.includes(true) || Math.abs(a[0] - a[1]) <= 1e-9;
    return { a, empty: empty.includes(true), verdict: tie ? 0.5 : Number(a[0] > a[1]) };
  }

  // The cells that an object covers, and the part of each: few, so that pairs of them are quickly compared.
  function sparse(cover) {
    const cells = Uint8Array.from([...cover.keys()].filter((cell) => cover[cell]));
    return { cells, parts: Float64Array.from(cells, (cell) => cover[cell]) };
  }

  function rankedAbove(map, first, second) {
    let [won, all] = [0, 0];
    for (let i = 0; i < first.cells.length; i++) {
      const value = map[first.cells[i]];
      let [above, beside] = [0, 0];
      for (let k = 0; k < second.cells.length; k++) {
        const other = map[second.cells[k]];
        if (value > other) above += second.parts[k];
        else if (value === other) above += second.parts[k] / 2;
        beside += second.parts[k];
      }
      won += first.parts[i] * above;
      all += first.parts[i] * beside;
    }
    return all ? won / all : 0.5;
  }

  function cosine(a, b) {
    const dot = (x, y) => x.reduce((sum, value, i) => sum + value * y[i], 0);
    return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
  }

  // -- neurons (packing.py) -------------------------------------------------------------------------
  // P: row j is the map of neuron j alone. Kept, as it takes a few milliseconds.
  function neuronMaps(packed) {
    if (packed.P) return packed.P;
    const scale = floats(packed.scale);
    const rows = new (packed.bytes === 2 ? Int16Array : Int8Array)(bytes(packed.rows).buffer);
    const patterns = packed.patterns && floats(packed.patterns);
    const width = rows.length / scale.filter(Boolean).length;
    packed.P = new Float32Array(scale.length * CELLS);
    let next = 0; // the next value of the rows, which lack those of neurons without a map
    for (let j = 0; j < scale.length; j++)
      for (let k = 0; scale[j] && k < width; k++) {
        const value = scale[j] * rows[next++];
        if (!patterns) packed.P[j * CELLS + k] = value;
        else for (let cell = 0; cell < CELLS; cell++) packed.P[j * CELLS + cell] += value * patterns[k * CELLS + cell];
      }
    return packed.P;
  }

  // xorshift32 (Marsaglia 2003), so that a link shows everybody the same draw; packing.py has the same.
  function randomScores(seed, size) {
    let x = Math.imul(seed + 1, 0x9e3779b1) >>> 0 || 1;
    return Float64Array.from({ length: size }, () => {
      x ^= x << 13;
      x ^= x >>> 17;
      x ^= x << 5;
      return (x >>>= 0);
    });
  }

  // Neurons from the highest score to the lowest, equal scores in order of their index.
  const ranking = (scores) => Uint16Array.from(scores.keys()).sort((i, j) => scores[j] - scores[i] || i - j);

  // Maps of every n before the ReLU, one after the other: the running sum of g_j P_j in ranking order.
  function running(order, g, P) {
    const maps = new Float32Array(order.length * CELLS);
    const sum = new Float64Array(CELLS);
    order.forEach((j, step) => {
      for (let cell = 0; cell < CELLS; cell++) {
        sum[cell] += g[j] * P[j * CELLS + cell];
        maps[step * CELLS + cell] = sum[cell];
      }
    });
    return maps;
  }

  const mapOf = (maps, n) => maps.subarray((n - 1) * CELLS, n * CELLS);
  const relu = (map) => map.map((value) => Math.max(value, 0));

  // -- painting -------------------------------------------------------------------------------------
  // Bilinear enlargement, as everywhere in the book: for each pixel the two cells beside it and the second's weight.
  const BESIDE = Array.from({ length: HEAT_SIDE }, (_, pixel) => {
    const at = Math.max(((pixel + 0.5) * GRID) / HEAT_SIDE - 0.5, 0);
    const first = Math.floor(at);
    return [first, Math.min(first + 1, GRID - 1), at - first];
  });
  const newCanvas = (side) => Object.assign(document.createElement("canvas"), { width: side, height: side });
  const wide = new Float32Array(GRID * HEAT_SIDE);
  const heatCanvas = newCanvas(HEAT_SIDE);
  const heatContext = heatCanvas.getContext("2d");
  const heatImage = heatContext.createImageData(HEAT_SIDE, HEAT_SIDE);
  const heatPixels = new Uint32Array(heatImage.data.buffer);

  // An image in pale gray, as qgc/show/pixels.py makes it: recognisable, and out of the heat's way.
  function paleOf(picture) {
    const canvas = newCanvas(SIDE);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(picture, 0, 0, SIDE, SIDE);
    const image = context.getImageData(0, 0, SIDE, SIDE);
    const grey = new Uint8Array(SIDE * SIDE);
    for (let i = 0; i < grey.length; i++)
      grey[i] = Math.round([0.299, 0.587, 0.114].reduce((sum, part, c) => sum + part * image.data[4 * i + c], 0));
    const ranked = grey.slice().sort();
    const [low, high] = [0.01, 0.99].map((part) => ranked[Math.round(part * (ranked.length - 1))]);
    grey.forEach((value, i) => {
      const level = Math.min(Math.max((value - low) / Math.max(high - low, 1), 0), 1);
      image.data.fill(255 * (DARKEST + (1 - DARKEST) * level), 4 * i, 4 * i + 3);
    });
    context.putImageData(image, 0, 0);
    return canvas;
  }

  // The 256 tints of a map's share of its maximum as pixels, from parts.colours().
  function tintsOf(heat) {
    return Uint32Array.from({ length: 256 }, (_, i) =>
      [0, 1, 2].reduce(
        (word, channel) => word | (Math.round(255 * heat[3 * i + channel]) << (8 * channel)),
        0xff << 24,
      ),
    );
  }

  // The same as a gradient for a legend, as it looks on a pale image.
  function heatGradient(heat, paper) {
    const stops = [0, 12, 32, 64, 96, 128, 160, 192, 224, 255];
    const colour = (i) =>
      `rgb(${[0, 1, 2].map((channel) => Math.round(255 * paper * heat[3 * i + channel])).join(" ")})`;
    return `linear-gradient(to right, ${stops.map((i) => `${colour(i)} ${(100 * i) / 255}%`).join(", ")})`;
  }

  function enlargeHeat(map, top, tints) {
    for (let row = 0; row < GRID; row++)
      BESIDE.forEach(([i, k, weight], x) => {
        const left = map[row * GRID + i];
        wide[row * HEAT_SIDE + x] = ((left + (map[row * GRID + k] - left) * weight) * 255) / top;
      });
    BESIDE.forEach(([i, k, weight], y) => {
      for (let x = 0; x < HEAT_SIDE; x++) {
        const above = wide[i * HEAT_SIDE + x];
        heatPixels[y * HEAT_SIDE + x] = tints[Math.round(above + (wide[k * HEAT_SIDE + x] - above) * weight)];
      }
    });
    heatContext.putImageData(heatImage, 0, 0);
  }

  // A map over the pale scene, scaled by its own maximum; heat tints like colored glass, so the scene stays visible.
  function paintMap(context, ground, map, tints, lines, top = Math.max(...map)) {
    context.drawImage(ground, 0, 0, SIDE, SIDE);
    if (top > 0) {
      enlargeHeat(map, top, tints);
      context.globalCompositeOperation = "multiply";
      context.drawImage(heatCanvas, 0, 0, SIDE, SIDE);
      context.globalCompositeOperation = "source-over";
    }
    if (lines) context.drawImage(lines, 0, 0, SIDE, SIDE);
  }

  // A colored line on a white one is seen on any ground; the object that was not asked about is dashed.
  function paintOutlines(context, outlines) {
    context.lineJoin = "round";
    for (const { path, colour, dashed } of outlines) {
      context.setLineDash([]);
      context.strokeStyle = "white";
      context.lineWidth = dashed ? 4 : 6;
      context.stroke(path);
      context.setLineDash(dashed ? [7, 5] : []);
      context.strokeStyle = colour;
      context.lineWidth = dashed ? 2 : 3;
      context.stroke(path);
    }
    context.setLineDash([]);
  }

  // -- waiting ------------------------------------------------------------------------------------
  // An action that is done once, when it has not been asked for again for so many milliseconds.
  function later(wait, action) {
    let timer;
    return () => {
      clearTimeout(timer);
      timer = setTimeout(action, wait);
    };
  }

  // Begin with each part of the page as a reader comes near to it.
  function whenNear(selector, begin) {
    const near = new IntersectionObserver(
      (entries) => {
        for (const { isIntersecting, target } of entries) {
          if (!isIntersecting) continue;
          near.unobserve(target);
          begin(target);
        }
      },
      { rootMargin: "800px" },
    );
    for (const root of document.querySelectorAll(selector)) near.observe(root);
  }

  return {
    ...{ GRID, CELLS, SIDE, HEAT_SIDE, BESIDE, loader, image, bytes, floats, percent, share },
    ...{ rankGrounding, rankedAbove, sparse, cosine, relu },
    ...{ neuronMaps, randomScores, ranking, running, mapOf },
    ...{ newCanvas, paleOf, tintsOf, heatGradient, paintMap, paintOutlines, later, whenNear },
  };
})();
