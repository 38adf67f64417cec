// @ts-check
/** The frame of the page: navigation, connection status and colour theme. */
import { html, render, useEffect, useState } from "./h.js";
import { onResponse } from "./data.js";
import { Fleet } from "./fleet.js";
import { Latency } from "./latency.js";
import { Plan } from "./plan.js";
import { Accuracy } from "./accuracy.js";
import { Tasks } from "./tasks.js";
import { Task } from "./task.js";

const VIEWS = /** @type {Record<string, [string, any]>} */ ({
  fleet: ["Fleet", Fleet],
  latency: ["Latency", Latency],
  plan: ["Plan", Plan],
  accuracy: ["Accuracy", Accuracy],
  tasks: ["Tasks", Tasks],
});
const DISCONNECTED_MS = 6000;

/** Decodes a part of the path; returns it unchanged if it is not encoded. @param {string} part */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function useRoute() {
  const read = () => location.hash.replace(/^#\//, "").split("/").map(decoded);
  const [route, setRoute] = useState(read);
  useEffect(() => {
    const follow = () => {
      setRoute(read());
      scrollTo(0, 0);
    };
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, []);
  return route;
}

function Live() {
  const [last, setLast] = useState(Date.now());
  const [, tick] = useState(0);
  useEffect(() => {
    const unsubscribe = onResponse((when) => when && setLast(when));
    const timer = setInterval(() => tick((/** @type {number} */ each) => each + 1), 1000);
    return () => {
      unsubscribe();
      clearInterval(timer);
    };
  }, []);
  const elapsed = Date.now() - last;
  const disconnected = elapsed > DISCONNECTED_MS;
  const text = disconnected ? `no response for ${Math.round(elapsed / 1000)} s` : "live";
  return html`<span class=${disconnected ? "live disconnected" : "live"} role="status"><i></i>${text}</span>`;
}

const system = matchMedia("(prefers-color-scheme: dark)");
const stored = () => {
  try {
    return localStorage.getItem("theme");
  } catch {
    return null; // no storage: use the system setting
  }
};
const isDark = () => (stored() ?? (system.matches ? "dark" : "light")) === "dark";
const paint = () => document.documentElement.setAttribute("data-theme", isDark() ? "dark" : "light");

function Theme() {
  const [dark, setDark] = useState(isDark);
  useEffect(() => {
    const follow = () => {
      paint();
      setDark(isDark());
    };
    system.addEventListener("change", follow);
    return () => system.removeEventListener("change", follow);
  }, []);
  const turn = () => {
    try {
      localStorage.setItem("theme", dark ? "light" : "dark");
    } catch {
      return;
    }
    paint();
    setDark(!dark);
    dispatchEvent(new Event("repaint"));
  };
  const other = dark ? "light" : "dark";
  return html`<button class="plain" onClick=${turn} title=${`Use ${other} colours`} aria-label=${`Use ${other} colours`}>
    <svg width="16" height="16" viewBox="0 0 16 16" aria-hidden="true">
      <circle cx="8" cy="8" r="6.25" fill="none" stroke="currentColor" stroke-width="1.5" />
      <path d="M8 1.750a6.250 6.250 0 0 1 0 12.500z" fill="currentColor" />
    </svg>
  </button>`;
}

/** Moves the focus without changing the URL, whose fragment selects the view. @param {Event} event */
function skip(event) {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

function App() {
  const [name, ...rest] = useRoute();
  const shown = name === "task" ? "tasks" : Object.hasOwn(VIEWS, name) ? name : "fleet";
  const [title, View] = VIEWS[shown];
  useEffect(() => {
    document.title = name === "task" ? `${rest.join("/")} · Ace-Sniper` : `${title} · Ace-Sniper`;
  }, [name, title, rest.join("/")]);
  return html`
    <a class="skip" href="#main" onClick=${skip}>Skip to content</a>
    <header class="top"><div class="bar">
      <a class="brand" href="#/fleet"><img src="icon.svg" alt="" />Ace-Sniper</a>
      <nav class="tabs" aria-label="Views">
        ${Object.entries(VIEWS).map(([each, [text]]) => html`
          <a href=${`#/${each}`} aria-current=${each === shown ? "page" : undefined}>${text}</a>`)}
      </nav>
      <div class="state"><${Live} /><${Theme} /></div>
    </div></header>
    <main id="main" tabindex="-1">
      ${name === "task" ? html`<${Task} key=${rest.join("/")} namespace=${rest[0]} name=${rest[1]} />` : html`<${View} />`}
    </main>`;
}

paint();
render(html`<${App} />`, document.body);
