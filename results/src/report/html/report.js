// Draws each trial's timeline: charts and lanes over one axis of time, zoomed together. Colours are asked for at
// each drawing, since paper and the other theme have others.
"use strict";
(() => {
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const BROKERS = ["detect", "elect", "metadata", "copies", "client", "answer", "rest"];
  const brokerColour = (id) => colour(BROKERS[Math.abs(id - 1) % BROKERS.length]);
  // Height of a lane, and of the strip of acks beneath it.
  const LANE = 20, STRIP = 16;
  // Least seconds that are shown, and the width of charts on paper.
  const SHORTEST = 0.05, PAPER = 700;
  const onPaper = [];

  const seconds = (values) => values.map((v) => `${+v.toFixed(3)} s`);
  const number = (v) => (v == null ? "-" : v >= 1e6 ? `${+(v / 1e6).toFixed(2)}M` : v >= 1e4 ? `${+(v / 1e3).toFixed(1)}k` : String(+v.toFixed(2)));

  for (const figure of document.querySelectorAll("figure.timeline")) {
    const data = JSON.parse(figure.querySelector("script").textContent);
    const place = figure.querySelector(".charts");
    const whole = [0, data.end];
    const charts = [];

    const shade = (u) => {
      const { ctx, bbox } = u;
      ctx.save();
      ctx.beginPath();
      ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
      ctx.clip();
      ctx.globalAlpha = 0.12;
      ctx.fillStyle = colour("bad");
      for (const [, from, to] of data.faults) {
        const x = u.valToPos(from, "x", true);
        ctx.fillRect(x, bbox.top, u.valToPos(to, "x", true) - x, bbox.height);
      }
      ctx.globalAlpha = 0.7;
      for (const [at] of data.marks) {
        ctx.fillRect(u.valToPos(at, "x", true) - 1, bbox.top, 2, bbox.height);
      }
      ctx.restore();
    };

    let zooming = false;
    const zoomed = (u, key) => {
      if (key !== "x" || zooming) return;
      zooming = true;
      const { min, max } = u.scales.x;
      for (const other of charts) if (other !== u) other.setScale("x", { min, max });
      for (const chart of charts) describe(chart);
      zooming = false;
    };

    const describe = (chart) => {
      const { min, max } = chart.scales.x;
      chart.root.querySelector(".u-wrap").setAttribute("aria-label", `${chart.shows}, from ${number(min ?? whole[0])} to ${number(max ?? whole[1])} s of trial ${data.trial}`);
    };
    const add = (chart, shows) => {
      chart.shows = shows;
      chart.root.querySelector(".u-wrap").setAttribute("role", "img");
      describe(chart);
      charts.push(chart);
    };

    // One width for all, so that times stand above each other.
    const names = ["controller", ...data.lanes.map((lane) => lane.name)];
    const left = Math.min(Math.max(...names.map((name) => name.length)) * 7 + 16, 150);
    const axis = (extra) => ({ ...extra, stroke: () => colour("soft"), grid: { stroke: () => colour("line"), width: 1, ...extra.grid }, ticks: { stroke: () => colour("line"), width: 1, ...extra.ticks } });
    const options = (title, height, more) => ({
      title, height, width: place.clientWidth || 700,
      cursor: { sync: { key: `trial-${data.trial}` }, y: false },
      ...more,
      scales: { x: { time: false, range: (u, min, max) => [min ?? whole[0], max ?? whole[1]] }, ...more.scales },
      hooks: { drawClear: [shade], setScale: [zoomed], ...more.hooks },
    });

    // Of a logarithmic axis the powers of ten alone: lines at all of its parts would be a grey field.
    const decades = (u, splits) => splits.map((x) => (u.scales.y.distr !== 3 || Number.isInteger(+Math.log10(x).toFixed(6)) ? x : null));
    // From a power of ten to another, so that two have labels.
    const DECADES = { distr: 3, range: (u, min, max) => {
      const low = Math.floor(Math.log10(min || 1));
      return [10 ** low, 10 ** Math.max(Math.ceil(Math.log10(max || 10)), low + 1)];
    } };
    // The times and what belongs to each, with nothing where seconds were not recorded, so that no line goes through there.
    const apart = (rows) => {
      const [at] = rows, out = rows.map(() => []);
      at.forEach((time, n) => {
        if (n > 0 && time - at[n - 1] > 1.5) out.forEach((row, i) => row.push(i ? null : (time + at[n - 1]) / 2));
        out.forEach((row, i) => row.push(rows[i][n]));
      });
      return out;
    };
    const lines = (title, list, scale) => {
      const series = list.map(([label, , name, fill]) => ({ label, stroke: () => colour(name), width: 1.5, fill: fill && (() => `color-mix(in srgb, ${colour(name)} 15%, transparent)`), value: (u, v) => number(v), points: { show: false } }));
      const made = new uPlot(options(title, 170, {
        scales: { y: scale },
        legend: { markers: { stroke: (u, n) => `var(--${list[n - 1]?.[2]})` } },
        axes: [axis({ values: (u, v) => seconds(v) }), axis({ size: left, filter: decades, grid: { filter: decades }, ticks: { filter: decades }, values: (u, v) => v.map((x) => (x == null ? "" : number(x))) })],
        series: [{ label: "time", value: (u, v) => (v == null ? "-" : `${v.toFixed(1)} s`) }, ...series],
      }), apart([data.series.at, ...list.map(([, values]) => values)]), place);
      add(made, `${title}: ${list.map(([label]) => label).join(", ")}`);
    };

    const lanes = () => {
      const rows = [{ name: "stage", spans: data.stages.map(([label, from, to]) => ({ from, to, label })) },
        { name: "fault", spans: data.faults.map(([label, from, to]) => ({ from, to, label, bad: true })) }, ...data.lanes];
      // Where each begins, from the top.
      const tops = [];
      let total = 0;
      for (const row of rows) {
        tops.push(total);
        total += LANE + (row.acks ? STRIP : 0);
      }
      const { at } = data.series;
      const widest = Math.max(...data.lanes.flatMap((lane) => lane.spans.map((span) => span.isr ?? 0)), 1);
      const draw = (u) => {
        const { ctx, bbox } = u, ratio = devicePixelRatio, unit = bbox.height / total, height = LANE * unit;
        // By the square root: after an outage so many acks come in one second that all others would be too small to see.
        // A second without acks has a thin line; one of which nothing is known has none.
        const strip = (acks, top) => {
          const base = top + (STRIP - 4) * unit;
          ctx.fillStyle = colour("soft");
          ctx.beginPath();
          acks.forEach((count, n) => {
            const from = u.valToPos(at[n] - 1, "x", true), to = u.valToPos(at[n], "x", true), tall = Math.sqrt(count / data.most_acks) * (STRIP - 4) * unit;
            if (to > bbox.left && from < bbox.left + bbox.width) ctx.rect(from, base - tall, to - from, tall + ratio);
          });
          ctx.fill();
        };
        ctx.save();
        ctx.beginPath();
        ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
        ctx.clip();
        ctx.font = `${11 * ratio}px system-ui, sans-serif`;
        ctx.textBaseline = "middle";
        ctx.textAlign = "left";
        rows.forEach((row, nth) => {
          const top = bbox.top + tops[nth] * unit, full = height * 0.8;
          const texts = [];
          if (row.acks) strip(row.acks, top + height);
          row.spans.forEach((span, n) => {
            const left = Math.max(u.valToPos(span.from, "x", true), bbox.left);
            const width = Math.min(u.valToPos(span.to, "x", true), bbox.left + bbox.width) - left;
            if (width <= 0) return;
            const part = span.isr == null ? 1 : Math.max(span.isr, 0.3) / widest;
            const nobody = "broker" in span && span.broker == null;
            ctx.fillStyle = span.bad || nobody ? colour("bad") : "label" in span ? colour(n % 2 ? "stated" : "predicted") : brokerColour(span.broker);
            ctx.globalAlpha = nobody ? 0.35 : 0.85;
            ctx.fillRect(left, top + (height - full * part) / 2, width, full * part);
            ctx.globalAlpha = 1;
            const text = "label" in span ? span.label : nobody ? "none" : `broker ${span.broker}`;
            const fits = ctx.measureText(text).width + 8 * ratio < width && (part > 0.5 || nobody);
            if (fits) texts.push([text, left, nobody || ("label" in span && !span.bad) ? "ink" : "paper"]);
          });
          for (const [from, to] of row.unavailable ?? []) {
            const left = u.valToPos(from, "x", true), right = u.valToPos(to, "x", true);
            ctx.strokeStyle = colour("bad");
            ctx.lineWidth = ratio;
            ctx.beginPath();
            for (let x = left; x < right; x += 6 * ratio) {
              ctx.moveTo(x, top + height * 0.9);
              ctx.lineTo(Math.min(x + 6 * ratio, right), top + height * 0.1);
            }
            ctx.stroke();
          }
          for (const [text, left, name] of texts) {
            ctx.fillStyle = colour(name);
            ctx.fillText(text, left + 4 * ratio, top + height / 2);
          }
        });
        ctx.restore();
      };
      const made = new uPlot(options("", total + 40, {
        scales: { y: { range: [0, total] } },
        legend: { show: false },
        axes: [axis({ values: (u, v) => seconds(v) }), axis({ size: left, grid: { show: false }, ticks: { show: false }, splits: tops.map((top) => total - top - LANE / 2).reverse(), values: () => rows.map((row) => row.name).reverse() })],
        series: [{}, { show: true, stroke: "transparent", points: { show: false } }],
        hooks: { draw: [draw] },
      }), [whole, [null, null]], place);
      const strips = data.most_acks == null ? "" : `; beneath each partition its acks in each second, ${data.most_acks} at most`;
      add(made, `lanes: ${rows.map((row) => row.name).join(", ")}${strips}`);

      // What is under the pointer, in words.
      const tip = document.createElement("div");
      tip.className = "tip";
      tip.hidden = true;
      made.over.append(tip);
      const within = (time) => (span) => span.from <= time && time < span.to;
      const tell = (event) => {
        const box = made.over.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
        const row = rows[tops.findLastIndex((top) => top <= (y / box.height) * total)], time = made.posToVal(x, "x");
        const span = row?.spans.find(within(time)), second = at.findIndex((end) => time <= end);
        const said = [`${row?.name}, ${time.toFixed(1)} s`];
        if (span) said.push("label" in span ? span.label : span.broker == null ? "none" : `broker ${span.broker}`);
        if (span?.isr != null) said.push(`${span.isr} in sync`);
        if (row?.unavailable?.some(([from, to]) => within(time)({ from, to }))) said.push("no answer");
        if (row?.acks && second >= 0 && time > at[second] - 1) said.push(`acks in the second: ${row.acks[second]}`);
        tip.textContent = said.join("; ");
        tip.hidden = !row;
        // On the side where there is more space, and no wider than that.
        const [right, below] = [x < box.width / 2, y < box.height / 2];
        tip.style.maxWidth = `min(15rem, ${(right ? box.width - x : x + left) - 16}px)`;
        tip.style.left = right ? `${x + 12}px` : "";
        tip.style.right = right ? "" : `${box.width - x + 12}px`;
        tip.style.top = below ? `${y + 12}px` : "";
        tip.style.bottom = below ? "" : `${box.height - y + 12}px`;
      };
      made.over.addEventListener("mousemove", tell);
      made.over.addEventListener("mouseleave", () => (tip.hidden = true));
    };

    const { series } = data;
    lanes();
    lines("records a second", [["due", series.due, "rest"], ["acked", series.acked, "detect", true], ["consumed", series.consumed, "metadata"]], { range: (u, min, max) => [0, Math.max(max ?? 1, 1) * 1.05] });
    lines("response time of each second's acks, from due, ms", [["p50", series.p50_ms, "metadata"], ["p99", series.p99_ms, "detect"], ["max", series.max_ms, "client"]], DECADES);
    // An older kbench recorded none.
    if ([...series.service_p50_ms, ...series.service_p99_ms].some((ms) => ms != null)) lines("service time of each second's acks, from sent, ms", [["p50", series.service_p50_ms, "metadata"], ["p99", series.service_p99_ms, "detect"]], DECADES);
    lines("records that wait", [["without outcome", series.outstanding, "client", true], ["acked, not consumed", series.lag, "metadata"]], { range: (u, min, max) => [0, Math.max(max ?? 1, 1) * 1.05] });

    const show = (from, to) => charts[0].setScale("x", { min: from, max: to });
    const everything = () => show(...whole);
    // So many times as long, moved by a share of its length; never beyond the ends.
    const view = (times, share) => {
      const { min, max } = charts[0].scales.x;
      const length = Math.min(Math.max((max - min) * times, SHORTEST), whole[1]);
      const from = Math.min(Math.max((min + max - length) / 2 + length * share, 0), whole[1] - length);
      show(from, from + length);
    };
    const moves = { in: () => view(0.5, 0), out: () => view(2, 0), earlier: () => view(1, -0.5), later: () => view(1, 0.5), all: everything };
    const keys = { "+": "in", "=": "in", "-": "out", ArrowLeft: "earlier", ArrowRight: "later", 0: "all" };
    for (const button of figure.querySelectorAll("button")) button.addEventListener("click", moves[button.dataset.view]);
    figure.addEventListener("keydown", (event) => {
      const move = moves[keys[event.key]];
      if (!move || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      move();
    });
    place.addEventListener("dblclick", () => setTimeout(everything));
    everything();

    let printing = false;
    const fit = (width) => {
      for (const chart of charts) if (width && chart.width !== width) chart.setSize({ width, height: chart.height });
    };
    const redraw = () => charts.forEach((chart) => chart.redraw(false, true));
    // Not at once: another width changes the height, of which the observer would be told in the same frame.
    new ResizeObserver(() => requestAnimationFrame(() => printing || fit(place.clientWidth))).observe(place);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
    onPaper.push((paper) => {
      printing = paper;
      fit(paper ? PAPER : place.clientWidth);
      redraw();
    });
  }
  const print = (paper) => {
    document.documentElement.classList.toggle("paper", paper);
    for (const figure of onPaper) figure(paper);
  };
  addEventListener("beforeprint", () => print(true));
  addEventListener("afterprint", () => print(false));
})();
