// Numbers and times for people.

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

export function bytes(count) {
  let unit = 0;
  let value = count;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}

export function milliseconds(count) {
  if (count < 1000) {
    return `${Math.round(count)} ms`;
  }
  return count < 60_000 ? `${(count / 1000).toFixed(1)} s` : `${Math.floor(count / 60_000)} min ${Math.round(count % 60_000 / 1000)} s`;
}

/** A span in seconds, roughly. */
export function span(seconds) {
  if (seconds < 100) {
    return `${Math.max(0, Math.floor(seconds))} s`;
  }
  if (seconds < 100 * 60) {
    return `${Math.floor(seconds / 60)} min`;
  }
  return seconds < 48 * 3600 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86_400)} days`;
}

export const shape = object => `${object.vcpus} vCPU${object.vcpus === 1 ? "" : "s"}, ${object.memory_mb} MB`;

export const clock = date => date.toLocaleTimeString(undefined, { hour12: false });

export const when = text => new Date(text).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
