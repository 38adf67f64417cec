// @ts-check
/** Formats numbers and times for display. */

const STEPS = /** @type {const} */ ([
  [1e-3, 1e-6, "µs"],
  [1, 1e-3, "ms"],
  [120, 1, "s"],
  [7200, 60, "min"],
  [172800, 3600, "h"],
  [Infinity, 86400, "d"],
]);

/** Seconds, to three digits at most. @param {number | null | undefined} value */
export function seconds(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (value === 0) return "0 s";
  const size = Math.abs(value);
  const [, unit, name] = STEPS.find(([below]) => size < below) ?? STEPS[5];
  return `${digits(value / unit)} ${name}`;
}

/** Seconds on an axis, without trailing zeros. @param {number} value */
export function tick(value) {
  const [number, unit] = seconds(value).split(" ");
  return `${Number(number.replace(",", ""))} ${unit}`;
}

/** Format a relative speed. @param {number} value */
export const times = (value) => `${value.toFixed(value < 1 ? 2 : 1)} ×`;

/** Three digits of a number. @param {number} value */
export function digits(value) {
  const size = Math.abs(value);
  if (size >= 99.95) return Math.round(value).toLocaleString("en");
  return size >= 9.995 ? value.toFixed(1) : value.toFixed(size >= 0.995 ? 2 : 3);
}

/** @param {number} value */
export const count = (value) => value.toLocaleString("en");

/** A share as a percentage. @param {number | null | undefined} value */
export function percent(value) {
  return value === null || value === undefined ? "–" : `${Math.round(100 * value)} %`;
}

/** Format the relative error of a prediction, with its sign. @param {number} predicted @param {number} observed */
export function off(predicted, observed) {
  const ratio = observed / predicted - 1;
  return `${ratio > 0 ? "+" : ratio < 0 ? "−" : ""}${Math.abs(Math.round(100 * ratio))} %`;
}

/** Seconds since an instant, in one unit. @param {number | null} at @param {number} now */
export function ago(at, now) {
  if (!at) return "–";
  const passed = Math.max(now - at, 0);
  const steps = /** @type {const} */ ([[60, 1, "s"], [3600, 60, "min"], [172800, 3600, "h"]]);
  const [, unit, name] = steps.find(([below]) => passed < below) ?? [0, 86400, "d"];
  return `${Math.floor(passed / unit)} ${name} ago`;
}

/** Key without its namespace if that is `default`. @param {string} key */
export function short(key) {
  return key.startsWith("default/") ? key.slice("default/".length) : key;
}
