// The page: search, a history, recommendations. All of it is computed here, by sparsedevice.js.

import { openModel, updateModel } from "./keep.js";

const SHOWN = 12;
const SUGGESTED = 8;
const EXAMPLE_ITEMS = 3;
const GROUPS = 9;
const GROUP_MS = 1;
const ICONS = {
  like: "M12 20s-7-4.4-7-10a4 4 0 0 1 7-2.6A4 4 0 0 1 19 10c0 5.6-7 10-7 10z",
  remove: "M6 6l12 12M18 6L6 18",
};

const $ = (id) => document.getElementById(id);
const state = { history: [], hidden: [], like: null, suggestions: [], active: -1 };
let recommender;

/* ---- building elements ---- */

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

function iconButton(name, label, onclick) {
  const button = element("button", { type: "button", className: "icon", title: label, onclick }, icon(name));
  button.setAttribute("aria-label", label);
  return button;
}

function say(text) {
  $("status").textContent = text;
}

function note(id, text) {
  $(id).textContent = text;
  $(id).hidden = !text;
}

const label = (item) => item.title || item.id;
const titleOf = (id) => recommender.title(id) || id;

/* ---- asking, with the time that it takes ---- */

/* Clocks in browsers are coarse, and other programs come between: the question is asked again in groups
 * of a millisecond, and the median group counts. */
function timed(ask) {
  const answer = ask();
  const groups = Array.from({ length: GROUPS }, () => {
    const begin = performance.now();
    let asked = 0;
    let passed = 0;
    do {
      ask();
      asked += 1;
      passed = performance.now() - begin;
    } while (passed < GROUP_MS);
    return (passed * 1000) / asked;
  });
  return { answer, microseconds: groups.sort((a, b) => a - b)[GROUPS >> 1] };
}

function ask() {
  if (state.like !== null) {
    return timed(() => recommender.similar(state.like, SHOWN));
  }
  return timed(() => recommender.recommend({ history: state.history, k: SHOWN, exclude: state.hidden }));
}

/* ---- showing ---- */

function show() {
  showHistory();
  $("back").hidden = state.like === null;
  $("results-heading").textContent = state.like === null ? "For you" : `More like ${titleOf(state.like)}`;
  if (state.like === null && !state.history.length) {
    $("results").replaceChildren();
    $("timing").hidden = true;
    note("results-note", "Recommendations appear as soon as you like something.");
    return;
  }
  const { answer, microseconds } = ask();
  const top = Math.max(...answer.items.map((item) => item.score), Number.MIN_VALUE);
  $("results").replaceChildren(...answer.items.map((item, place) => resultRow(item, place, top)));
  $("timing").hidden = false;
  $("microseconds").textContent = Math.round(microseconds).toLocaleString("en");
  note("results-note", answer.items.length ? "" : "Nothing is left to recommend.");
  say(`${answer.items.length} recommendations in ${Math.round(microseconds)} microseconds`);
}

function resultRow(item, place, top) {
  const bar = element("span", { className: "bar" });
  bar.style.setProperty("--share", `${Math.max(0, (100 * item.score) / top).toFixed(1)}%`);
  const more = element(
    "button",
    { type: "button", className: "what", title: "More like this", onclick: () => showSimilar(item.id) },
    label(item),
    bar,
  );
  more.setAttribute("aria-label", `${label(item)}: more like this`);
  const number = element("span", { className: "place", textContent: `${place + 1}` });
  number.setAttribute("aria-hidden", "true");
  const row = element("li", {}, number, more);
  if (!state.history.includes(item.id)) {
    row.append(iconButton("like", `Like ${label(item)}`, () => addFrom(place, item.id)));
  }
  if (state.like === null) {
    row.append(iconButton("remove", `Hide ${label(item)}`, () => hideFrom(place, item.id)));
  }
  return row;
}

function showHistory() {
  const chips = state.history.map((id, place) => {
    const name = element("span", { textContent: titleOf(id) });
    return element("li", {}, name, iconButton("remove", `Remove ${titleOf(id)}`, () => remove(place)));
  });
  $("history").replaceChildren(...chips);
  $("history-empty").hidden = chips.length > 0;
  $("clear").hidden = !chips.length && !state.hidden.length;
  const like = state.history.map(encodeURIComponent).join(",");
  window.history.replaceState(null, "", like ? `#like=${like}` : location.pathname + location.search);
}

function showSimilar(id) {
  state.like = id;
  show();
  $("results").focus();
}

/* ---- changing the history ---- */

function add(id) {
  if (!state.history.includes(id)) {
    state.history.push(id);
  }
  state.like = null;
  show();
}

/* The list moves up: the focus stays at its place. */
function focusRow(place, name) {
  const rows = $("results").children;
  const row = rows[Math.min(place, rows.length - 1)];
  (row?.querySelector(`.icon[aria-label^="${name}"]`) ?? $("results")).focus();
}

function addFrom(place, id) {
  add(id);
  focusRow(place, "Like");
}

function hideFrom(place, id) {
  state.hidden.push(id);
  show();
  focusRow(place, "Hide");
}

function remove(place) {
  state.history.splice(place, 1);
  show();
  const left = $("history").children;
  (left[Math.min(place, left.length - 1)]?.querySelector("button") ?? $("search")).focus();
}

function clear() {
  Object.assign(state, { history: [], hidden: [], like: null });
  note("found", "");
  show();
  say("History cleared");
  $("search").focus();
}

function example() {
  const first = recommender.id(Math.floor(Math.random() * recommender.info.nItems));
  const { items } = recommender.similar(first, EXAMPLE_ITEMS - 1);
  Object.assign(state, { history: [first, ...items.map((item) => item.id)], hidden: [], like: null });
  show();
}

/* ---- search: a combobox with a list, after the ARIA authoring practices ---- */

function search() {
  state.suggestions = recommender.search($("search").value, SUGGESTED);
  state.active = -1;
  const options = state.suggestions.map((item, place) => {
    const option = element("li", { id: `suggestion-${place}`, textContent: label(item) });
    option.setAttribute("role", "option");
    option.setAttribute("aria-selected", "false");
    option.onpointerdown = (event) => event.preventDefault(); /* the field keeps the focus */
    option.onclick = () => choose(place);
    return option;
  });
  $("suggestions").replaceChildren(...options);
  open(options.length > 0);
  const nothing = $("search").value.trim() && !options.length;
  note("found", nothing ? `Nothing here is called “${$("search").value.trim()}”.` : "");
  say(nothing ? "No results" : options.length ? `${options.length} results` : "");
}

function open(yes) {
  $("suggestions").hidden = !yes;
  $("search").setAttribute("aria-expanded", String(yes));
  if (!yes) {
    $("search").removeAttribute("aria-activedescendant");
  }
}

function activate(place) {
  const options = [...$("suggestions").children];
  state.active = (place + options.length) % options.length;
  options.forEach((option, i) => option.setAttribute("aria-selected", String(i === state.active)));
  options[state.active].scrollIntoView({ block: "nearest" });
  $("search").setAttribute("aria-activedescendant", options[state.active].id);
}

function choose(place) {
  add(state.suggestions[place].id);
  $("search").value = "";
  open(false);
}

function onSearchKey(event) {
  const shown = !$("suggestions").hidden;
  const moves = { ArrowDown: 1, ArrowUp: -1 };
  if (shown && event.key in moves) {
    event.preventDefault();
    activate(state.active < 0 && event.key === "ArrowUp" ? -1 : state.active + moves[event.key]);
  } else if (shown && event.key === "Enter") {
    event.preventDefault();
    choose(Math.max(state.active, 0));
  } else if (event.key === "Escape") {
    if (!shown) {
      $("search").value = "";
    }
    open(false);
  }
}

/* ---- starting ---- */

/* Ids in the address, after #like=, separated by commas. */
function idsOfAddress() {
  const given = /^#like=(.+)$/.exec(location.hash)?.[1] ?? "";
  try {
    return given.split(",").filter(Boolean).map(decodeURIComponent);
  } catch {
    return [given]; /* not encoded as it must be: no id of this catalogue */
  }
}

function restore() {
  const ids = idsOfAddress();
  state.history = ids.filter((id) => recommender.has(id));
  const unknown = ids.filter((id) => !recommender.has(id));
  note("found", unknown.length ? `Not in this catalogue, left out: ${unknown.join(", ")}` : "");
}

function bytes(count) {
  return count < 1e6 ? `${Math.ceil(count / 1e3)} kB` : `${(count / 1e6).toFixed(1)} MB`;
}

function showFacts(loadMs) {
  const { nItems, fileBytes, kernel } = recommender.info;
  $("about").textContent = `${nItems.toLocaleString("en")} titles, and the recommender itself, live in this page.`;
  $("fact-size").textContent = bytes(fileBytes);
  $("fact-load").textContent = `${Math.round(loadMs)} ms`;
  $("fact-kernel").textContent = kernel === "wasm-simd" ? "WebAssembly SIMD" : "WebAssembly";
}

async function keepForOffline() {
  if (!("serviceWorker" in navigator)) {
    $("fact-offline").textContent = "needs https";
    return;
  }
  const container = navigator.serviceWorker;
  if (container.controller) {
    container.addEventListener("controllerchange", () => {
      $("update").hidden = false;
    });
  }
  try {
    await container.register("service-worker.js");
    await container.ready;
    $("fact-offline").textContent = "works";
    $("update").hidden = !(await updateModel()) && $("update").hidden;
  } catch (error) {
    $("fact-offline").textContent = "not kept";
    $("fact-offline").title = error.message;
  }
}

function fail(error) {
  note("problem", `The model could not be opened: ${error.message}`);
  $("about").textContent = "There is nothing to recommend from.";
  $("app").hidden = true;
}

async function start() {
  const begin = performance.now();
  recommender = await openModel((done, total) => {
    $("about").textContent = `Loading the model: ${Math.round((100 * done) / total)} %`;
  });
  showFacts(performance.now() - begin);
  restore();
  for (const id of ["search", "example"]) {
    $(id).disabled = false;
  }
  $("app").setAttribute("aria-busy", "false");
  $("search").addEventListener("input", search);
  $("search").addEventListener("keydown", onSearchKey);
  $("search").addEventListener("blur", () => open(false));
  $("search").addEventListener("focus", () => $("search").value && search());
  $("example").addEventListener("click", example);
  $("clear").addEventListener("click", clear);
  $("back").addEventListener("click", () => {
    state.like = null;
    show();
    $("results").focus();
  });
  show();
  /* The first search makes the index of titles: better now than under a finger. */
  (window.requestIdleCallback ?? setTimeout)(() => recommender.search("a", 1));
}

$("reload").addEventListener("click", () => location.reload());
start().catch(fail).finally(keepForOffline);
