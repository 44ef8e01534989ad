"use strict";

// Sizes, counts, times and names as people read them; sizes as flyweight/memory/units.py writes them.
flyweight.format = (() => {
  const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];
  const NOTHING = "–";
  const WHOLE = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
  const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]/gu;
  const PACKAGES = /^.*\/(?:site|dist)-packages\//;
  const STANDARD = /^.*\/lib(?:64)?\/python\d[^/]*\//;

  const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

  /** One digit after the point, ties to even as Python rounds them. */
  function tenths(number) {
    const tie = Math.abs(number) % 1 === 0.25;
    return (tie ? number - Math.sign(number) * 0.05 : number).toFixed(1);
  }

  /** Bytes in units of powers of 1000: 64000000 is "64.0 MB". */
  function size(bytes) {
    if (!isNumber(bytes)) return NOTHING;
    let number = bytes;
    let unit = 0;
    while (Math.abs(number) >= 999.95 && unit + 1 < UNITS.length) {
      number /= 1000;
      unit += 1;
    }
    return unit ? `${tenths(number)} ${UNITS[unit]}` : `${Math.round(number)} B`;
  }

  /** A change of size with its sign: "+1.2 MB", "−300 B", "0 B". */
  function sizeChange(bytes) {
    if (!isNumber(bytes)) return NOTHING;
    return bytes === 0 ? "0 B" : `${bytes > 0 ? "+" : "−"}${size(Math.abs(bytes))}`;
  }

  /** Sizes and times of axes, which are round: "400 MB", "20 s". */
  const roundSize = (bytes) => size(bytes).replace(".0 ", " ");
  const roundDuration = (seconds) => duration(seconds).replace(".0 ", " ").replace(" min 0 s", " min");

  const count = (number) => (isNumber(number) ? WHOLE.format(number) : NOTHING);

  const exactBytes = (bytes) => (isNumber(bytes) ? `${count(bytes)} ${Math.abs(bytes) === 1 ? "byte" : "bytes"}` : "");

  /** A share as a percentage; what is neither nothing nor all is not rounded to it. */
  function percent(share) {
    if (!isNumber(share)) return NOTHING;
    const text = (100 * share).toFixed(1);
    if (share > 0 && text === "0.0") return "< 0.1 %";
    if (share < 1 && text === "100.0") return "> 99.9 %";
    return `${text} %`;
  }

  function duration(seconds) {
    if (!isNumber(seconds)) return NOTHING;
    if (seconds === 0) return "0 s";
    if (seconds < 0.001) return `${(seconds * 1e6).toFixed(0)} µs`;
    if (seconds < 1) return `${(seconds * 1e3).toFixed(seconds < 0.1 ? 1 : 0)} ms`;
    if (seconds < 120) return `${seconds.toFixed(1)} s`;
    const minutes = Math.floor(seconds / 60);
    if (minutes < 120) return `${minutes} min ${Math.floor(seconds % 60)} s`;
    return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  }

  function moment(unixSeconds) {
    if (!isNumber(unixSeconds)) return NOTHING;
    const time = new Date(unixSeconds * 1000);
    return Number.isNaN(time.getTime()) ? NOTHING : time.toISOString().slice(0, 19).replace("T", " ") + " UTC";
  }

  /** A name in one line, with nothing in it that hides or turns text around. */
  const name = (text) => String(text ?? "").replace(UNPRINTABLE, "\ufffd");

  /** A source file as a reader knows it: from where Python found it, else its last two parts. */
  function file(path) {
    const shown = name(path);
    const found = shown.replace(PACKAGES, "");
    if (found !== shown) return found;
    const standard = shown.replace(STANDARD, "");
    if (standard !== shown) return standard;
    return shown.split("/").slice(-2).join("/");
  }

  const place = (path, line) => (line > 0 ? `${file(path)}:${line}` : file(path));

  /** The first words of a text, in at most so many characters. */
  const shortened = (text, length) => (text.length > length ? `${text.slice(0, Math.max(0, length - 1))}…` : text);

  /** "1 block", "2 blocks" */
  const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

  return {
    isNumber, size, sizeChange, roundSize, roundDuration, count, exactBytes, percent, duration, moment, name, file, place, shortened, plural,
  };
})();
