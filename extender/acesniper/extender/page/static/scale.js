// @ts-check
/** Scales: logarithmic axes, ticks, and a colour map that is readable with colour blindness. */

/** Cividis, from dark to light. */
const STOPS = ["#00224e", "#1b3b6e", "#3e4a6b", "#5a5d6d", "#757575", "#908d78", "#aea371", "#cdba64", "#ebd24f", "#fee838"];
const RGB = STOPS.map((stop) => [1, 3, 5].map((at) => parseInt(stop.slice(at, at + 2), 16)));

/** Colour of a position in [0, 1]. @param {number} share @returns {[number, number, number]} */
export function colour(share) {
  const place = Math.min(Math.max(share, 0), 1) * (RGB.length - 1);
  const at = Math.min(Math.floor(place), RGB.length - 2);
  const [from, to] = [RGB[at], RGB[at + 1]];
  return /** @type {[number, number, number]} */ (from.map((value, each) => Math.round(value + (to[each] - value) * (place - at))));
}

/** @param {[number, number, number]} rgb */
export const css = (rgb) => `rgb(${rgb.join(" ")})`;

/** Text colour with enough contrast on a background. @param {[number, number, number]} rgb */
export const onto = ([r, g, b]) => (0.299 * r + 0.587 * g + 0.114 * b > 120 ? "#101418" : "#ffffff");

/**
 * Position between `low` (0) and `high` (1) on a logarithmic scale.
 * @param {number} low @param {number} high @returns {(value: number) => number}
 */
export function logarithmic(low, high) {
  const start = Math.log(low);
  const size = Math.log(high) - start || 1;
  return (value) => (Math.log(value) - start) / size;
}

/** Powers of ten, with their multiples by 2 and 5 if those are few. @param {number} low @param {number} high */
export function logTicks(low, high) {
  /** @type {number[]} */
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += 1) {
    for (const digit of [1, 2, 5]) found.push(digit * 10 ** power);
  }
  const inside = found.filter((each) => each >= low * 0.999 && each <= high * 1.001);
  return inside.length > 7 ? inside.filter((each) => /^1/.test(each.toExponential())) : inside;
}

/** Round time step that divides a span into at most `most` parts. @param {number} span @param {number} most */
export function timeStep(span, most) {
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400];
  const fitting = steps.filter((each) => span <= 110 || each % 30 === 0);
  return fitting.find((each) => span / each <= most) ?? 86400 * Math.ceil(span / 86400 / most);
}
