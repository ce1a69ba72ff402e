// Elements are made and filled here. Text is always set as text: nothing that a server or a user wrote becomes HTML.

export const byId = id => document.getElementById(id);

/** An element with attributes and children; a child that is a string becomes text, null is left out. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "onclick") {
      made.addEventListener("click", value);
    } else if (value !== null && value !== undefined && value !== false) {
      made.setAttribute(key, value === true ? "" : value);
    }
  }
  made.append(...children.filter(child => child !== null));
  return made;
}

/** The first element of a template, and a function that finds parts of it by class. */
export function fromTemplate(id) {
  const root = byId(id).content.firstElementChild.cloneNode(true);
  return { root, part: name => root.querySelector("." + name) };
}

/** Sets text only if it differs, so that screen readers and selections are left alone. */
export function setText(target, text) {
  if (target.textContent !== text) {
    target.textContent = text;
  }
}

/** Runs work with a button that shows it and cannot be pressed meanwhile. */
export async function whileBusy(button, work) {
  const focused = document.activeElement === button;
  button.disabled = true;
  button.setAttribute("aria-busy", "true");
  try {
    return await work();
  } finally {
    button.disabled = false;
    button.removeAttribute("aria-busy");
    if (focused && document.activeElement === document.body) {
      button.focus();
    }
  }
}
