// Small services: formulas wider than the page can be scrolled by keyboard, paper shows what the screen folds away,
// the search works in an unpacked archive, and the theme's buttons work under the pages' policy.
"use strict";

// The search fetches every page that it found, to quote from it; a browser lets no page fetch files beside it.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

// What the theme wrote as handlers within the page; tools/policy.py takes those out.
const CLICKED = { fullscreen: () => toggleFullScreen(), print: () => print() };
addEventListener("click", (event) => CLICKED[event.target.closest?.("[data-qgc-click]")?.dataset.qgcClick]?.());

function letScroll() {
  for (const box of document.querySelectorAll("div.math, .cell_output .output.text_html, .qgc-wide")) {
    const wide = box.scrollWidth > box.clientWidth;
    if (wide) {
      box.tabIndex = 0;
      box.setAttribute("role", "group");
      const what = box.matches(".math") ? "Formula" : box.matches(".qgc-wide") ? "Figure" : "Table";
      box.setAttribute("aria-label", `${what}, scrolls sideways`);
    } else if (box.getAttribute("role") === "group") {
      for (const name of ["tabindex", "role", "aria-label"]) box.removeAttribute(name);
    }
  }
}

addEventListener("load", letScroll);
addEventListener("resize", letScroll);

let folded = [];
let theme;

addEventListener("beforeprint", () => {
  theme = document.documentElement.dataset.theme;
  document.documentElement.dataset.theme = "light";
  folded = [...document.querySelectorAll("details:not([open])")];
  for (const details of folded) details.open = true;
  for (const picture of document.querySelectorAll("img[loading=lazy]")) picture.loading = "eager";
});

addEventListener("afterprint", () => {
  document.documentElement.dataset.theme = theme;
  for (const details of folded) details.open = false;
});
