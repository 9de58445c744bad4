// The meaning of a linked term (tools/reading/glossary.py): on pointing, on keyboard focus, on the first tap.
(() => {
  "use strict";
  const WAIT = 250; // ms of pointing before a meaning shows, and of grace to move onto it
  let tip, shown, timer, touched;

  function place(term) {
    const at = term.getClientRects()[0], width = document.documentElement.clientWidth;
    const left = Math.max(8, Math.min(at.left, width - tip.offsetWidth - 8));
    const above = at.bottom + tip.offsetHeight + 8 > innerHeight && at.top > tip.offsetHeight + 8;
    tip.style.left = `${left + scrollX}px`;
    tip.style.top = `${(above ? at.top - tip.offsetHeight - 4 : at.bottom + 4) + scrollY}px`;
  }

  function show(term, more = "") {
    clearTimeout(timer);
    if (!tip) {
      tip = document.createElement("div");
      tip.id = "qgc-meaning";
      tip.setAttribute("role", "tooltip");
      tip.addEventListener("pointerenter", () => clearTimeout(timer));
      tip.addEventListener("pointerleave", later);
      document.body.append(tip);
    }
    hide();
    tip.textContent = term.dataset.meaning + more;
    tip.hidden = false;
    term.setAttribute("aria-describedby", tip.id);
    shown = term;
    place(term);
  }

  function hide() {
    clearTimeout(timer);
    shown?.removeAttribute("aria-describedby");
    shown = undefined;
    if (tip) tip.hidden = true;
  }

  function later() {
    clearTimeout(timer);
    timer = setTimeout(hide, WAIT);
  }

  const term = (event) => event.target.closest?.("a.qgc-term");

  document.addEventListener("pointerdown", (event) => {
    touched = event.pointerType !== "mouse";
    if (shown && !term(event) && !tip.contains(event.target)) hide();
  });
  document.addEventListener("click", (event) => {
    if (touched && event.detail && term(event) && term(event) !== shown) {
      event.preventDefault(); // the second tap follows the link
      show(term(event), " Tap again for the glossary.");
    }
  });
  document.addEventListener("pointerover", (event) => {
    if (event.pointerType !== "mouse" || !term(event)) return;
    clearTimeout(timer);
    if (term(event) !== shown) timer = setTimeout(show, WAIT, term(event));
  });
  document.addEventListener("pointerout", (event) => {
    if (event.pointerType === "mouse" && term(event)) later();
  });
  document.addEventListener("focusin", (event) => {
    if (term(event)?.matches(":focus-visible")) show(term(event));
  });
  document.addEventListener("focusout", (event) => term(event) && later());
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
  addEventListener("resize", hide);
})();
