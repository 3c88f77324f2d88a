const MOST_CLASSES = 100;

function moduleView(i) {
  const module = data.modules[i];
  const parts = [el("h2", {}, module.name), el("p", {class: "label"}, `${module.mechanism || "a module"}: ` +
    module.sites.map(site => `${site.path[site.path.length - 1]} (${site.units} ${site.kind})`).join(", "))];
  for (const site of module.sites) parts.push(...ofSite(site, module.sites.length > 1));
  if (module.soft_to_hard) parts.push(el("div", {class: "row"}, curve(module.soft_to_hard), importance(module.importance)));
  if (module.strongest_response.length || module.sites.some(site => site.strongest.length)) parts.push(...channelOf(module));
  return parts;
}

function ofSite(site, several) {
  const parts = [el("h3", {}, several ? `Weights “${site.path.slice(-2).join("/")}”` : "Weights")];
  const h = site.histogram, x = axis([h.edges[0], h.edges[h.edges.length - 1]], "weight");
  const y = axis([0, Math.max(...h.counts)], "", value => value.toFixed(0));
  parts.push(el("div", {class: "row"}, el("section", {}, frame(420, 190, x, y, (px, py) => h.counts.map((count, k) => svg("rect", {class: "bar",
    x: px(h.edges[k]) + .5, width: Math.max(px(h.edges[k + 1]) - px(h.edges[k]) - 1, .5), y: py(count), height: py(0) - py(count)},
    svg("title", {}, `${number(h.edges[k])} to ${number(h.edges[k + 1])}: ${count}`))), "Distribution of the weights")),
    el("section", {}, facts(site))));
  const shown = site.shown_units;
  if (shown.by_class.length) {
    const fewer = shown.units.length === site.units ? "" : shown.between_classes ? `, the ${shown.units.length} that tell the classes apart best` : `, ${shown.units.length} of them at equal distances`;
    parts.push(heatMap("class", data.classes, shown.by_class, shown.units, ONE[site.kind], fewer));
  }
  if (site.by_word && site.by_word.words.length) {
    const found = site.by_word;
    const share = found.share === null ? "; the weights are the same at every word" : `; ${number(100 * found.share, 1)} % of the variance over words is between them, by chance ${number(100 * found.chance, 1)} %`;
    parts.push(heatMap("word", found.words, found.means, found.units, ONE[site.kind], `; the most frequent words first${share}`));
  }
  return parts;
}

function facts(site) {
  const told = site.mutual_information, classes = site.between_classes;
  const rows = {
    "mean over everything": number(site.mean), "range": `${number(site.low)} to ${number(site.high)}`,
    "deviation over the pictures": number(site.deviation, 4) + (site.varies ? "" : ": it does not depend on the picture"),
    "deviation between the mean weights": number(site.deviation_between_units, 4),
    "effective rank": site.effective_rank === null ? "–" : `${number(site.effective_rank, 1)} of ${site.units}`,
    "variance between classes": classes ? `${number(100 * classes.share, 1)} %, by chance ${number(100 * classes.chance, 1)} %` : "–",
    "mutual information": told ? `${number(told.bits, 2)} bits of ${number(told.entropy_of_class, 2)}; plug-in ${number(told.plugin, 2)}, of which bias ${number(told.bias, 2)}` : "–"};
  return el("table", {class: "pairs"}, el("tbody", {}, ...Object.entries(rows).map(([key, value]) => el("tr", {}, el("th", {scope: "row"}, key), el("td", {}, value)))));
}

function heatMap(of, names, values, units, unit, note) {
  const flat = values.flat(), low = Math.min(...flat), high = Math.max(...flat);
  let columns = units.map((_, c) => c);
  const spread = values.map(row => Math.max(...row) - Math.min(...row));
  let rows = values.map((_, k) => k);
  if (rows.length > MOST_CLASSES) rows = [...rows].sort((a, b) => spread[b] - spread[a]).slice(0, MOST_CLASSES).sort((a, b) => a - b);
  const readout = el("p", {class: "readout", "aria-live": "off"}, "Point at a cell to read it; a heading sorts by it.");
  const holder = el("div", {class: "scroll", tabindex: "0", role: "region", "aria-label": `Mean weight by ${of} and ${unit}`});
  const sorted = (order, key) => [...order].sort((a, b) => key(b) - key(a));
  function draw() {
    const head = el("tr", {}, el("th", {scope: "col"}), ...columns.map(c => el("th", {scope: "col"}, el("button", {type: "button", title: `sort by ${unit} ${units[c]}`,
      onclick: () => { rows = sorted(rows, k => values[k][c]); draw(); announce(`sorted by ${unit} ${units[c]}`); }}, String(units[c])))));
    const body = rows.map(k => el("tr", {}, el("th", {scope: "row"}, el("button", {type: "button", title: `sort the columns by this ${of}`,
      onclick: () => { columns = sorted(columns, c => values[k][c]); draw(); announce(`sorted by ${names[k]}`); }}, names[k])),
      ...columns.map(c => el("td", {class: "cell", title: `${names[k]}, ${units[c]}: ${number(values[k][c], 4)}`, "data-value": values[k][c],
        style: {"--t": high > low ? (values[k][c] - low) / (high - low) : .5}}))));
    holder.replaceChildren(el("table", {class: "heat"}, el("thead", {}, head), el("tbody", {}, ...body)));
  }
  holder.addEventListener("mouseover", event => { if (event.target.title && event.target.tagName === "TD") readout.textContent = event.target.title; });
  draw();
  const cut = values.length > MOST_CLASSES ? ` of the ${MOST_CLASSES} classes with the largest range` : "";
  return el("section", {}, el("h3", {}, `Mean weight by ${of} and ${unit}`),
    el("p", {class: "small"}, `From ${number(low)} (ground) to ${number(high)} (full colour)${cut}${note}.`), holder, readout);
}

function curve(found) {
  const names = ["strongest", "random", "weakest"];
  // Curves of average precision would take long; they are of the loss.
  const whole = main in found.strongest[0], shown = whole ? main : "loss", scale = whole ? factor : 1;
  const said = value => whole ? scored(value) : number(value, 4), label = whole ? `${data.score.label}${percent ? ", %" : ""}` : "Loss";
  const scores = names.map(name => found[name].map(each => each[shown]));
  const log = found.kept.map(Math.log2), all = scores.flat().flatMap(each => [each.value, ...(each.interval || [])]);
  const x = {low: log[0], high: log[log.length - 1], title: "channels kept; the others have weight 0", ticks: log.map((value, k) => [value, String(found.kept[k])])};
  const y = axis(all.map(value => scale * value), "", value => number(value, whole && percent ? 0 : 2));
  const drawn = frame(460, 270, x, y, (px, py) => scores.flatMap((line, c) => {
    const points = line.map((each, k) => [px(log[k]), py(scale * each.value)]);
    const band = line.every(each => each.interval) ? svg("polygon", {class: `band c${c}`, points: [
      ...line.map((each, k) => [px(log[k]), py(scale * each.interval[1])]), ...line.map((each, k) => [px(log[k]), py(scale * each.interval[0])]).reverse()].join(" ")}) : null;
    return [band, svg("polyline", {class: `line c${c}`, points: points.join(" ")},
      svg("title", {}, `${names[c]}: ` + line.map((each, k) => `${found.kept[k]}: ${said(each.value)}`).join(", ")))].filter(Boolean);
  }), "Score against the number of channels kept");
  const legend = el("ul", {class: "legend"}, ...names.map((name, c) => el("li", {}, svg("svg", {viewBox: "0 0 26 10"}, svg("path", {class: `line c${c}`, d: "M0 5H26"})), name)));
  const rows = found.kept.map((k, at) => [String(k), ...scores.map(line => el("span", {}, said(line[at].value)))]);
  return el("section", {class: "curve"}, el("h3", {}, "From soft to hard"), el("p", {}, `${label}, with the channels of the largest weights of each picture kept, as many drawn, and the smallest.`), legend, drawn,
    el("details", {}, el("summary", {}, "As a table"), table([["kept", ""], ...names.map(name => [name, ""])], rows, "From soft to hard")));
}

function importance(found) {
  const loss = found.knocked_out.loss_increase, weight = found.mean_weight;
  const rho = found.knocked_out.rank_correlation, ablated = found.ablated.rank_correlation;
  const drawn = frame(460, 270, axis(weight, "mean weight of the channel"), axis([0, ...loss], ""), (px, py) => [
    svg("path", {class: "axis", d: `M${px(Math.min(...weight))} ${py(0)}H${px(Math.max(...weight))}`}),
    ...loss.map((value, c) => value === null ? null : svg("circle", {class: "dot", cx: px(weight[c]), cy: py(value), r: 4},
      svg("title", {}, `${found.units[c]}: weight ${number(weight[c])}, loss ${signed(value, 4)}${between(found.knocked_out.intervals[c], 1, 4)}`))).filter(Boolean)], "Loss gained without each channel, against its mean weight");
  return el("section", {class: "importance"}, el("h3", {}, "Does the weight rank importance?"),
    el("p", {}, "Loss gained with weight 0 at a channel, rank correlation with its mean weight ", el("b", {}, signed(rho.value)), between(rho.interval, 1),
      "; with the channel’s mean weight in place, ", el("b", {}, signed(ablated.value)), between(ablated.interval, 1), "."), drawn,
    el("p", {class: "small"}, `On ${found.pictures} pictures; the intervals are over channels.`));
}

function channelOf(module) {
  const responses = Object.fromEntries(module.strongest_response.map(each => [each.unit, each]));
  const site = module.sites[0], weights = Object.fromEntries(site.strongest.map(each => [each.unit, each]));
  const unitsOf = [...new Set([...Object.keys(weights), ...Object.keys(responses)].map(Number))].sort((a, b) => a - b);
  const holder = el("div", {class: "channel"});
  const row = (title, found) => found ? el("div", {}, el("h3", {}, title), el("ul", {class: "pictures"}, ...found.index.map((index, k) =>
    el("li", {}, thumbnail(index, `picture ${index}`), el("span", {}, `no. ${index}: ${number(found.values[k])}`))))) : null;
  function draw(unit) {
    const parts = [row("Pictures with the largest weight", weights[unit]), row("Pictures with the largest mean response, after the weighing", responses[unit]),
      tuning("Mean weight by hue and lightness of a picture of one colour", site.weight, unit), tuning("Mean response by hue and lightness", module.response, unit)];
    holder.replaceChildren(...parts.filter(Boolean));
  }
  const select = el("select", {id: "channel", onchange: event => { draw(Number(event.target.value)); announce(`channel ${event.target.value}`); }},
    ...unitsOf.map(unit => el("option", {value: unit}, String(unit))));
  draw(unitsOf[0]);
  return [el("h2", {}, "What does a channel see?"), el("p", {}, el("label", {for: "channel"}, "Channel "), select), holder,
    data.colours ? null : el("p", {class: "small"}, "There is no tuning to colours: the pictures are grey, or the network is given words beside them.")];
}

function tuning(title, found, unit) {
  const at = found ? found.units.indexOf(unit) : -1;
  if (at < 0) return null;
  const grid = found.values[at], flat = [...grid.flat(), ...found.grey[at]], low = Math.min(...flat), high = Math.max(...flat);
  const colour = (hue, light) => `hsl(${360 * hue} 100% ${100 * light}%)`;
  const cell = value => el("td", {class: "cell", title: number(value, 4), style: {"--t": high > low ? (value - low) / (high - low) : .5, width: "26px"}});
  const head = el("tr", {}, el("th", {}), ...data.colours.hues.map(hue => el("th", {}, el("span", {class: "swatch", style: {background: colour(hue, .5)}}))), el("th", {}, "grey"));
  const rows = data.colours.lightnesses.map((light, l) => el("tr", {}, el("th", {scope: "row"}, `lightness ${light}`), ...grid[l].map(cell), cell(found.grey[at][l])));
  const share = found.selectivity[at];
  return el("div", {}, el("h3", {}, title), el("div", {class: "scroll", tabindex: "0", role: "region", "aria-label": title}, el("table", {class: "hues"}, el("thead", {}, head), el("tbody", {}, ...rows))),
    el("p", {class: "small"}, `From ${number(low, 4)} to ${number(high, 4)}; preferred hue `, el("span", {class: "swatch", style: {background: colour(found.hue[at], .5)}}),
      `, ${share === null ? "no" : number(100 * share, 0) + " %"} of the variance over colours is between hues.`));
}
