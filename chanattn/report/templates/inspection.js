const KINDS = ["mean", "class_mean", "another", "one", "permuted"].filter(kind => kind in data.input_matters.replaced);
const main = data.score.name;
const links = () => [["overview", "Overview"], ...data.modules.map((module, i) => [`module-${i}`, module.name]),
  ...(data.single_pictures.length ? [["picture-0", "Pictures"]] : [])];

function matters() {
  const targets = Object.keys(data.input_matters.replaced.mean);
  const numberOf = Object.fromEntries(data.modules.map((module, i) => [module.name, i]));
  const cell = found => {
    const digits = percent ? 2 : 4;
    const text = el("span", {}, signed(found.difference === null ? null : factor * found.difference, digits));
    const pair = found.difference_interval;
    if (pair && (pair[0] > 0 || pair[1] < 0)) text.className = "changed";
    return el("span", {title: found.draws ? `draws: ${found.draws.map(scored).join(", ")}` : scored(found.value)},
      text, el("small", {}, between(pair, factor, digits)));
  };
  const rows = name => targets.map(target => [
    target in numberOf ? el("a", {href: `#module-${numberOf[target]}`}, target) : "all together",
    ...KINDS.map(kind => cell(data.input_matters.replaced[kind][target][name]))]);
  const headings = [["weights replaced in", ""], ...KINDS.map(kind => [kind.replace("_", " "), data.kinds[kind]])];
  const before = data.input_matters.untouched[main];
  const parts = [
    el("h2", {}, "Does the input matter?"),
    el("p", {}, `${data.score.label} ${scored(before.value)}`, el("small", {}, before.interval ? ` [${before.interval.map(scored).join(", ")}]` : ""),
      ` on ${data.pictures} pictures of ${data.dataset} ${data.split}. The tables say by how much it changes when the weights are replaced` +
      `${percent ? ", in points" : ""}; bold: the interval leaves out 0.`),
    table(headings, rows(main), "Change of the score")];
  if (main !== "loss") parts.push(el("p", {}, "The same of the loss, in nats:"), lossTable(headings, targets, numberOf));
  parts.push(el("ul", {class: "small"}, ...KINDS.map(kind => el("li", {}, `${kind.replace("_", " ")}: ${data.kinds[kind]}`))));
  if (data.static_twin) parts.push(el("p", {}, `A network with attention “static”, trained in the same sweep with the same seed, reaches ${data.static_twin.metric} ${scored(data.static_twin.value)}.`));
  return parts;
}

function lossTable(headings, targets, numberOf) {
  const cell = found => {
    const pair = found.difference_interval;
    const sure = pair && (pair[0] > 0 || pair[1] < 0);
    return el("span", {}, el("span", {class: sure ? "changed" : null}, signed(found.difference, 4)), el("small", {}, between(pair, 1, 4)));
  };
  return table(headings, targets.map(target => [
    target in numberOf ? el("a", {href: `#module-${numberOf[target]}`}, target) : "all together",
    ...KINDS.map(kind => cell(data.input_matters.replaced[kind][target].loss))]), "Change of the loss");
}

function overview() {
  const headings = [
    ["weights of", "the path in the network"], ["distribution", "of one number a channel or position, over all pictures"],
    ["mean", ""], ["deviation", "of a weight over the pictures"], ["near 0", "share within 0.05 of 0"], ["near 1", "share within 0.05 of 1"],
    ["effective rank", "participation ratio of the covariance: how many channels move by themselves"],
    ["between classes", "share of the variance over pictures that lies between the classes; what chance gives"],
    ["tells of the class", "mutual information with the class, mean over channels, without its bias"],
    ["ranks importance", "rank correlation of the mean weight with the loss that is gained without the channel"]];
  const rows = data.modules.flatMap((module, i) => module.sites.map((site, k) => {
    const classes = site.between_classes, told = site.mutual_information;
    const rho = k === 0 && module.importance ? module.importance.knocked_out.rank_correlation : null;
    return [el("span", {}, el("a", {href: `#module-${i}`}, site.name), el("small", {}, ` ${module.mechanism}, ${site.units} ${site.kind}`)),
      spark(site.histogram), number(site.mean), number(site.deviation, 4), number(100 * site.near_zero, 0) + " %", number(100 * site.near_one, 0) + " %",
      site.effective_rank === null ? "–" : number(site.effective_rank, 1),
      classes ? el("span", {}, `${number(100 * classes.share, 0)} %`, el("small", {}, ` chance ${number(100 * classes.chance, 1)} %`)) : "–",
      told ? el("span", {}, `${number(told.bits, 2)} bits`, el("small", {}, ` of ${number(told.entropy_of_class, 2)}`)) : "–",
      rho ? el("span", {}, signed(rho.value), el("small", {}, between(rho.interval, 1))) : "–"];
  }));
  const how = {network: `${data.model} with ${data.attention}`, run: data.run, checkpoint: `step ${data.step}, ${data.weights} weights`,
    drawn: JSON.stringify(data.drawn), command: (data.how.command || []).join(" "), versions: JSON.stringify(data.how.versions), devices: (data.how.devices || []).join(", ")};
  return [...matters(), el("h2", {}, "What varies?"), table(headings, rows, "What varies"),
    el("details", {}, el("summary", {}, "How this was made"), el("table", {class: "pairs"}, el("tbody", {},
      ...Object.entries(how).map(([key, value]) => el("tr", {}, el("th", {scope: "row"}, key), el("td", {}, String(value)))))))];
}

function picture(chosen) {
  const found = data.single_pictures[chosen];
  const name = k => data.classes[k] === undefined ? String(k) : data.classes[k];
  const buttons = data.single_pictures.map((each, i) => el("button", {type: "button", "aria-pressed": String(i === chosen),
    onclick: () => { location.hash = `picture-${i}`; }}, thumbnail(each.index, `picture ${each.index}`)));
  const answers = Object.entries(found.answers).filter(([, best]) => best.length);
  const titles = {untouched: "as it is", mean: "weights: the mean", another: "weights: another picture's", one: "weights: one number"};
  const shares = best => el("div", {}, ...best.slice(0, 3).map(([k, p]) => el("div", {class: "answer" + (k === found.label ? " right" : "")},
    el("span", {}, name(k)), el("span", {class: "share"}, el("span", {style: {width: `${100 * p}%`}})), el("span", {}, `${(100 * p).toFixed(1)} %`))));
  const parts = [el("h2", {}, `Picture ${found.index}`), el("div", {class: "choices", role: "group", "aria-label": "Choose a picture"}, ...buttons)];
  if (found.label !== null && answers.length) parts.push(el("p", {}, `It shows ${name(found.label)}. Its weights are exchanged with those of picture ${found.another}.`),
    el("div", {class: "row"}, ...answers.map(([kind, best]) => el("section", {style: {"flex-basis": "210px", "max-width": "330px"}}, el("h3", {}, titles[kind]), shares(best)))));
  parts.push(el("h3", {}, "Weights by depth"), el("p", {class: "small"}, "A cell a channel, from the smallest weight of the picture in that module to the largest."));
  for (const module of data.modules) {
    for (const site of module.sites) {
      const values = found.weights[site.name];
      const low = Math.min(...values), high = Math.max(...values);
      parts.push(el("p", {}, el("a", {href: `#module-${data.modules.indexOf(module)}`}, site.name), el("small", {}, ` ${number(low)} to ${number(high)}`)),
        el("div", {class: "strip", role: "img", "aria-label": `weights from ${number(low)} to ${number(high)}`}, ...values.map((value, c) =>
          el("span", {class: "cell", title: `${ONE[site.kind]} ${c}: ${number(value, 4)}`, style: {"--t": high > low ? (value - low) / (high - low) : .5}}))));
    }
    const maps = found.maps[module.name] || [];
    if (maps.length) parts.push(el("div", {class: "pictures"}, ...maps.map(each => el("figure", {style: {margin: "0"}}, heat(each.map),
      el("figcaption", {}, el("small", {}, `map of channel ${each.unit}`))))));
  }
  return parts;
}

function heat(values) {
  const flat = values.flat(), low = Math.min(...flat), high = Math.max(...flat);
  return el("div", {class: "map", role: "img", "aria-label": `values from ${number(low)} to ${number(high)}`, style: {"grid-template-columns": `repeat(${values[0].length}, 1fr)`}},
    ...flat.map(value => el("span", {class: "cell", title: number(value), style: {"--t": high > low ? (value - low) / (high - low) : .5}})));
}

function show() {
  const here = location.hash.slice(1) || "overview";
  const [kind, position] = here.split("-");
  const i = Number(position);
  const view = document.getElementById("view");
  const parts = kind === "module" && data.modules[i] ? moduleView(i) : kind === "picture" && data.single_pictures[i] ? picture(i) : overview();
  view.replaceChildren(...parts.filter(part => part !== null));
  const bar = document.querySelector("nav");
  bar.replaceChildren(...links().map(([hash, text]) => el("a", {href: "#" + hash,
    "aria-current": hash === here || (kind === "picture" && hash === "picture-0") ? "page" : null}, text)));
}
window.addEventListener("hashchange", () => { show(); document.getElementById("view").focus({preventScroll: true}); });
