// @ts-check
/** Views of the extender: asked for again and again while somebody looks, and only then. */
import { useEffect, useRef, useState } from "./h.js";

export const EVERY_MS = 2000;

let skew = 0;
/** What the extender's clock says, in seconds since the epoch. */
export const now = () => Date.now() / 1000 + skew;

/** @type {Set<(when: number | null) => void>} */
const watchers = new Set();
/** Be told when the extender answered, or that it did not. @param {(when: number | null) => void} watcher */
export function onAnswer(watcher) {
  watchers.add(watcher);
  return () => watchers.delete(watcher);
}

/**
 * Ask once.
 * @param {string} path
 * @param {AbortSignal} signal
 */
async function ask(path, signal) {
  try {
    const answer = await fetch(path, { signal });
    const date = Date.parse(answer.headers.get("date") ?? "");
    if (date) skew = Math.abs(date - Date.now()) < 2000 ? 0 : (date - Date.now()) / 1000;
    const body = await answer.json();
    for (const each of watchers) each(Date.now());
    return { body, tag: answer.headers.get("etag"), ok: answer.ok };
  } catch (error) {
    if (!signal.aborted) for (const each of watchers) each(null);
    throw error;
  }
}

/**
 * A view that stays fresh: `data` is null until the first answer; `error` is what the extender said.
 * The data of the address before stay until the new ones come, so that nothing flickers.
 * @param {string} path
 * @param {number} [every] milliseconds; 0: once
 * @returns {{data: any, error: string | null}}
 */
export function useView(path, every = EVERY_MS) {
  const [view, setView] = useState(/** @type {{data: any, error: string | null}} */ ({ data: null, error: null }));
  const tag = useRef(/** @type {string | null} */ (null));
  useEffect(() => {
    const stop = new AbortController();
    let timer = 0;
    tag.current = null;
    const next = async () => {
      clearTimeout(timer);
      if (document.hidden) return;
      try {
        const answer = await ask(path, stop.signal);
        if (!answer.ok) setView({ data: null, error: answer.body.detail });
        else if (answer.tag === null || answer.tag !== tag.current) setView({ data: answer.body, error: null });
        tag.current = answer.tag;
      } catch {
        if (stop.signal.aborted) return;
      }
      if (every) timer = setTimeout(next, every);
    };
    next();
    document.addEventListener("visibilitychange", next);
    return () => {
      stop.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", next);
    };
  }, [path, every]);
  return view;
}

/** How wide the content is, before it is laid out: the style sheet's numbers. */
export const likelyWidth = () => Math.min(innerWidth, 1240) - (innerWidth > 640 ? 48 : 28);

/**
 * The width of an element in pixels, followed.
 * @param {number} first what to take until it is known
 */
export function useWidth(first) {
  const place = useRef(/** @type {HTMLElement | null} */ (null));
  const [width, setWidth] = useState(first);
  useEffect(() => {
    const element = place.current;
    if (!element) return undefined;
    const observer = new ResizeObserver(([entry]) => setWidth(Math.round(entry.contentRect.width)));
    observer.observe(element);
    return () => observer.disconnect();
  }, [place.current]);
  return /** @type {const} */ ([place, width]);
}

/** @param {Record<string, string | number | undefined>} values */
export function query(values) {
  const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== "");
  return given.length ? `?${new URLSearchParams(given.map(([name, value]) => [name, String(value)]))}` : "";
}
