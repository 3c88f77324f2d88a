"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const SVG = "http://www.w3.org/2000/svg";

/* Elements are made with texts alone: no name in the data can become markup. */
function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick" || name === "onchange") element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, each] of Object.entries(value)) element.style.setProperty(key, each);
    else if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter(child => child !== null));
  return element;
}
const el = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

const percent = data.score.unit === "%";
const factor = percent ? 100 : 1;
function number(value, digits = 3) {
  if (value === null || value === undefined) return "–";
  const tiny = value !== 0 && Math.abs(value) < .5 * 10 ** -digits;
  return (tiny ? value.toExponential(1) : value.toFixed(digits)).replaceAll("-", "−");
}
const short = value => String(Number(value.toPrecision(3))).replaceAll("-", "−");
function signed(value, digits = 2) {
  if (value === null || value === undefined) return "–";
  const text = value.toFixed(digits);
  return Number(text) === 0 ? (0).toFixed(digits) : (value > 0 ? "+" : "") + text.replace("-", "−");
}
const between = (pair, by, digits = 2) => pair ? ` [${signed(by * pair[0], digits)}, ${signed(by * pair[1], digits)}]` : "";
const scored = value => value === null ? "–" : number(factor * value, percent ? 2 : 4) + (percent ? " %" : "");
const ONE = {channels: "channel", branches: "channel of a branch", positions: "position"};
const announce = text => { document.getElementById("announcement").textContent = text; };

function table(headings, rows, label) {
  const head = el("tr", {}, ...headings.map(([text, hint], i) => el("th", {scope: "col", title: hint, class: i ? null : "text"}, text)));
  const cells = row => el("tr", {}, ...row.map((cell, i) => i ? el("td", {}, cell) : el("th", {scope: "row"}, cell)));
  return el("div", {class: "scroll", tabindex: "0", role: "region", "aria-label": label},
    el("table", {class: "runs sites"}, el("thead", {}, head), el("tbody", {}, ...rows.map(cells))));
}

function bars(counts, width, height, label) {
  const top = Math.max(...counts, 1), step = width / counts.length;
  return counts.map((count, i) => svg("rect", {
    class: "bar", x: (i * step + .5).toFixed(1), width: Math.max(step - 1, .5).toFixed(1),
    y: (height - height * count / top).toFixed(1), height: (height * count / top).toFixed(1),
  }, svg("title", {}, label(i))));
}

function spark(histogram) {
  const label = i => `${number(histogram.edges[i])} to ${number(histogram.edges[i + 1])}: ${histogram.counts[i]}`;
  return svg("svg", {class: "spark", viewBox: "0 0 110 26", role: "img", "aria-label": "distribution of the weights"}, ...bars(histogram.counts, 110, 26, label));
}

function frame(width, height, x, y, children, label) {
  const left = 66, bottom = 34, w = width - left - 24, h = height - bottom - 10;
  const at = (value, axis) => axis.low === axis.high ? .5 : (value - axis.low) / (axis.high - axis.low);
  const px = value => left + w * at(value, x), py = value => 10 + h * (1 - at(value, y));
  const ticks = [
    ...x.ticks.map(([value, text]) => svg("text", {x: px(value), y: 10 + h + 15, "text-anchor": "middle"}, text)),
    ...y.ticks.map(([value, text]) => svg("text", {x: left - 6, y: py(value) + 4, "text-anchor": "end"}, text)),
  ];
  return svg("svg", {viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label, width, height},
    svg("path", {class: "axis", d: `M${left} 10V${10 + h}H${left + w}`}), ...ticks,
    svg("text", {x: left + w / 2, y: height - 4, "text-anchor": "middle"}, x.title), ...children(px, py));
}

function axis(values, title, show = short) {
  const finite = values.filter(value => Number.isFinite(value));
  const low = Math.min(...finite), high = Math.max(...finite);
  const ticks = low === high ? [[low, show(low)]] : [0, .5, 1].map(t => [low + t * (high - low), show(low + t * (high - low))]);
  return {low, high, title, ticks};
}

function thumbnail(index, caption) {
  const png = data.thumbnails[index];
  return png ? el("img", {src: "data:image/png;base64," + png, alt: caption}) : el("span", {}, `no. ${index}`);
}
