"use strict";
(() => {
  const { groups, strings } = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const state = { group: groups[groups.length - 1], item: null, step: 0 };

  const element = (tag, className, ...content) => {
    const node = document.createElement(tag);
    if (className) node.className = className;
    node.append(...content);
    return node;
  };
  const outcome = (item) => (item.score === null ? "unscored" : item.success ? "success" : "failure");
  const outcomeClass = (item) => (outcome(item) === "success" ? "good" : "bad");
  const badge = (text, className) => element("span", `badge ${className}`, text);

  const selected = () => state.group.items.filter((item) =>
    (!byId("outcome").value || outcome(item) === byId("outcome").value) &&
    (!byId("kind").value || item.kind === byId("kind").value));

  const fill = (select, values, current) => {
    select.replaceChildren(...values.map(([value, text]) => new Option(text, value, false, value === current)));
  };
  const label = (round) => groups.find((group) => group.round === round).label;
  const distinct = (values) => [...new Set(values)];

  function drawControls() {
    const rounds = distinct(groups.map((group) => group.round));
    fill(byId("round"), rounds.map((round) => [String(round), label(round)]), String(state.group.round));
    const stages = groups.filter((group) => group.round === state.group.round).map((group) => group.stage);
    fill(byId("stage"), stages.map((stage) => [stage, stage]), state.group.stage);
    const kinds = distinct(state.group.items.map((item) => item.kind)).sort();
    const kind = kinds.includes(byId("kind").value) ? byId("kind").value : "";
    fill(byId("kind"), [["", "any"], ...kinds.map((name) => [name, name])], kind);
  }

  function drawList() {
    const items = selected();
    const cut = state.group.total - state.group.items.length;
    byId("count").textContent =
      `${items.length} of ${state.group.total} trajectories` + (cut ? ` (${cut} not on this page)` : "");
    byId("list").replaceChildren(...items.map((item) => {
      const button = element("button", "", item.instruction,
        element("small", "", element("span", outcomeClass(item), outcome(item)), `, ${item.steps.length} steps, ${item.kind}`));
      button.type = "button";
      button.setAttribute("aria-current", String(item === state.item));
      button.addEventListener("click", () => go(item, 0));
      return element("li", "", button);
    }));
  }

  function drawTask() {
    const item = state.item;
    byId("instruction").textContent = item.instruction;
    const details = [`score ${item.score === null ? "none" : item.score}`, `stop reason: ${item.stop.replace("_", " ")}`,
      item.error, item.failure && `the teacher failed: ${item.failure}`, item.id];
    byId("outcome-line").replaceChildren(badge(outcome(item), outcomeClass(item)), " ", details.filter(Boolean).join(", "));
    const twins = groups.filter((group) => group.stage === state.group.stage)
      .map((group) => [group, group.items.find((other) => other.id === item.id)]).filter(([, other]) => other);
    byId("elsewhere").replaceChildren(...(twins.length < 2 ? [] : ["The same task in round",
      ...twins.map(([group, other]) => {
        const button = element("button", outcomeClass(other), `${group.label}: ${outcome(other)}`);
        button.type = "button";
        button.disabled = other === item;
        button.addEventListener("click", () => { state.group = group; drawControls(); go(other, 0); });
        return button;
      })]));
  }

  function drawTranscript() {
    byId("transcript").replaceChildren(...state.item.steps.map((step, index) => {
      const changed = step.teacher && step.teacher.changed;
      const action = element("span", changed ? "struck" : "", step.action);
      const text = element("span", "", action);
      if (!step.valid) text.append(" ", badge("invalid", "bad"));
      if (changed) text.append(element("br"), element("span", "better", step.teacher.action));
      const button = element("button", "", element("span", "number", String(index + 1)), text);
      button.type = "button";
      button.setAttribute("aria-current", String(index === state.step));
      button.addEventListener("click", () => go(state.item, index));
      return element("li", "", button);
    }));
  }

  function decision(heading, { reason, action }, className, badges) {
    return element("div", `decision ${className}`, element("h4", "", heading, ...badges.flatMap((node) => [" ", node])),
      element("p", "action", action),
      reason ? element("p", "reason", reason) : element("p", "reason none", "no reason given"));
  }

  function drawStep() {
    const steps = state.item.steps;
    const step = steps[state.step];
    byId("previous").disabled = state.step === 0;
    byId("next").disabled = state.step >= steps.length - 1;
    byId("place").textContent = step ? `step ${state.step + 1} of ${steps.length}` : "no steps";
    byId("observation").textContent = step ? step.text : "";
    byId("admissible").hidden = !step || step.admissible === null;
    byId("decisions").replaceChildren();
    if (!step) return;
    const actor = step.taken_by ? "Teacher, in the student's place" : "Student";
    byId("decisions").append(decision(state.group.stage === "demonstrations" ? "Demonstrator" : actor, step, "",
      step.valid ? [] : [badge("not admissible", "bad")]));
    if (step.teacher && !step.taken_by) {
      const marks = [step.teacher.changed ? badge("changed", "") : badge("agrees", "good"),
        ...step.teacher.leaks.map((leak) => badge(`reveals ${leak}`, "bad"))];
      byId("decisions").append(decision("Teacher", step.teacher, step.teacher.changed ? "changed" : "", marks));
    }
    if (step.admissible !== null) {
      byId("admissible").querySelector("summary").textContent = `${step.admissible.length} admissible actions`;
      byId("admissible").querySelector("p").textContent = step.admissible.map((place) => strings[place]).join("; ");
    }
  }

  function show(item, step) {
    state.item = item;
    byId("trajectory").hidden = !item;
    if (item) {
      state.step = Math.max(0, Math.min(step, item.steps.length - 1));
      drawTask();
      drawTranscript();
      drawStep();
    }
    drawList();
    for (const id of ["list", "transcript"]) reveal(byId(id));
  }

  function go(item, step) {
    show(item, step);
    if (!item) return;
    const place = new URLSearchParams({ round: state.group.round, stage: state.group.stage, task: item.id, step: state.step + 1 });
    history.replaceState(null, "", `#${place}`);
    // Redrawing has removed the focused button; without this, the next key press would scroll the page.
    if (document.activeElement === document.body) byId("viewer").focus({ preventScroll: true });
  }

  // Scrolls only the list; scrollIntoView would also move the page.
  function reveal(list) {
    const current = list.querySelector("[aria-current='true']");
    if (!current) return;
    const [inner, outer] = [current.getBoundingClientRect(), list.getBoundingClientRect()];
    if (inner.top < outer.top) list.scrollTop -= outer.top - inner.top;
    if (inner.bottom > outer.bottom) list.scrollTop += inner.bottom - outer.bottom;
  }

  function chooseGroup(round, stage) {
    const inRound = groups.filter((group) => group.round === round);
    state.group = inRound.find((group) => group.stage === stage) || inRound[inRound.length - 1];
    drawControls();
    return selected()[0] || null;
  }

  function goToAddress() {
    const place = new URLSearchParams(location.hash.slice(1));
    const group = groups.find((one) => String(one.round) === place.get("round") && one.stage === place.get("stage"));
    const item = group && group.items.find((one) => one.id === place.get("task"));
    if (!item) return false;
    state.group = group;
    drawControls();
    show(item, Number(place.get("step")) - 1 || 0);
    byId("viewer").scrollIntoView();
    return true;
  }

  byId("round").addEventListener("change", () => go(chooseGroup(Number(byId("round").value), state.group.stage), 0));
  byId("stage").addEventListener("change", () => go(chooseGroup(state.group.round, byId("stage").value), 0));
  for (const id of ["outcome", "kind"]) byId(id).addEventListener("change", () => go(selected()[0] || null, 0));
  byId("previous").addEventListener("click", () => go(state.item, state.step - 1));
  byId("next").addEventListener("click", () => go(state.item, state.step + 1));
  window.addEventListener("hashchange", goToAddress);
  byId("viewer").addEventListener("keydown", (event) => {
    const move = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!move || event.target.tagName === "SELECT" || !state.item) return;
    event.preventDefault();
    const items = selected();
    const item = items[items.indexOf(state.item) + move[0]];
    if (item) go(item, move[0] ? 0 : state.step + move[1]);
  });

  if (!groups.length) byId("viewer").hidden = true;
  else if (!goToAddress()) show(chooseGroup(state.group.round, state.group.stage), 0);
})();
