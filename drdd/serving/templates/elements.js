/** The element with this id. */
export const part = (id) => document.getElementById(id);

/** A new element. Text goes in as text: no name or message is ever read as HTML. */
export function make(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}
