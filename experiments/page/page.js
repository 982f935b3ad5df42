// A figure opens by itself above the page, where it grows, shrinks and moves; Esc, a click, the button and "back" close it.
const zoom = document.getElementById("/zoom"), stage = zoom.querySelector("div"), title = zoom.querySelector("span");
let drawn, image, travelled;

function show(state) {
  const figure = state && document.getElementById(state.figure);
  if (!figure) return zoom.close();
  drawn = figure.querySelector("img");
  image = drawn.cloneNode();
  stage.replaceChildren(image);
  title.textContent = figure.querySelector("figcaption").textContent;
  if (!zoom.open) zoom.showModal();
  stage.focus(); // so that the arrow keys move the figure
  setWidth(Math.max(fitting(), drawn.naturalWidth)); // on a phone it is wider than the screen, so that it can be read
  stage.scrollTo(0, 0);
}

function fitting() {
  return Math.min(stage.clientWidth, stage.clientHeight * drawn.naturalWidth / drawn.naturalHeight);
}

// Keeps what lies at a place of the stage where it is; the middle, unless told.
function setWidth(width, x = stage.clientWidth / 2, y = stage.clientHeight / 2) {
  const before = image.getBoundingClientRect(), frame = stage.getBoundingClientRect();
  const along = before.width ? (frame.left + x - before.left) / before.width : 0.5;
  const down = before.height ? (frame.top + y - before.top) / before.height : 0.5;
  image.style.width = `${Math.min(Math.max(width, 240), 12000)}px`;
  const after = image.getBoundingClientRect();
  stage.scrollLeft += after.left + along * after.width - frame.left - x;
  stage.scrollTop += after.top + down * after.height - frame.top - y;
  stage.classList.toggle("wide", stage.scrollWidth > stage.clientWidth || stage.scrollHeight > stage.clientHeight);
}

const scale = (factor, ...place) => setWidth(image.getBoundingClientRect().width * factor, ...place);

document.addEventListener("click", (event) => {
  const link = event.target.closest("figure a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const state = {figure: link.closest("figure").id};
  history.pushState(state, ""); // "back", which a phone has at hand, closes
  show(state);
});
addEventListener("popstate", (event) => show(event.state));
zoom.addEventListener("close", () => history.state?.figure && history.back());

stage.addEventListener("pointerdown", () => { travelled = 0; });
stage.addEventListener("pointermove", (event) => {
  if (event.pointerType !== "mouse" || !event.buttons) return; // a finger scrolls by itself
  travelled += Math.abs(event.movementX) + Math.abs(event.movementY);
  stage.scrollBy(-event.movementX, -event.movementY);
});
stage.addEventListener("click", () => travelled > 4 || zoom.close());
stage.addEventListener("wheel", (event) => {
  if (!event.ctrlKey) return; // two fingers on a pad, too
  event.preventDefault();
  const frame = stage.getBoundingClientRect();
  scale(Math.exp(-event.deltaY / 200), event.clientX - frame.left, event.clientY - frame.top);
}, {passive: false});
zoom.addEventListener("click", (event) => event.target.dataset.factor && scale(event.target.dataset.factor));
zoom.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey) return;
  if (event.key === "+" || event.key === "=") scale(1.25);
  if (event.key === "-") scale(0.8);
  if (event.key === "0") setWidth(fitting());
});

// The page holds each figure once; the link that saves it borrows it.
for (const link of document.querySelectorAll("a[data-figure]")) {
  link.href = document.getElementById(link.dataset.figure).querySelector("img").src;
  link.parentElement.hidden = false;
}
show(history.state); // of a page that was loaded again
