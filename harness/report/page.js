"use strict";
(() => {
  const form = document.getElementById("filter");
  const episodes = [...document.querySelectorAll("details.episode")];
  if (!form || !episodes.length) return;
  const selects = [...form.querySelectorAll("select")];
  for (const select of selects) {
    const values = new Set(episodes.map((episode) => episode.dataset[select.name] || ""));
    values.delete("");
    for (const value of [...values].sort((a, b) => a.localeCompare(b, undefined, { numeric: true }))) {
      const option = document.createElement("option");
      option.value = option.textContent = value;
      select.append(option);
    }
    if (values.size < 2) select.parentElement.hidden = true;
  }
  const apply = () => {
    let shown = 0;
    for (const episode of episodes) {
      const fits = selects.every((select) => !select.value || episode.dataset[select.name] === select.value);
      episode.hidden = !fits;
      shown += fits;
    }
    for (const box of document.querySelectorAll(".world, .run")) {
      box.hidden = !box.querySelector("details.episode:not([hidden])");
    }
    document.getElementById("shown").textContent = `${shown} of ${episodes.length} transcripts`;
  };
  const openAll = (open) => {
    for (const episode of episodes) if (!episode.hidden) episode.open = open;
  };
  form.addEventListener("change", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("open").addEventListener("click", () => openAll(true));
  document.getElementById("close").addEventListener("click", () => openAll(false));
  form.hidden = false;
  apply();
})();
