/** The element with this id. */
export const part = (id) => document.getElementById(id);

/** A version as people read it: the first digits of its id, or its name. */
export const short = (version) => /^[0-9a-f]{64}$/.test(version) ? version.slice(0, 12) : version;

/** A new element. Text goes in as text: no name or message is ever read as HTML. */
export function make(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}
