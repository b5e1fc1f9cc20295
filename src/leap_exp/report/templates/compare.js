(() => {
  const { arms, tasks, total, strings } = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);

  const element = (tag, className, ...content) => {
    const node = document.createElement(tag);
    if (className) node.className = className;
    node.append(...content);
    return node;
  };
  const outcome = (episode) => (episode.score === null ? "unscored" : episode.success ? "success" : "failure");
  const outcomeClass = (episode) => (outcome(episode) === "success" ? "good" : "bad");

  // Arms begin alike: what matters is the step at which one first does something else.
  const firstDifference = (one, other) => {
    const place = one.steps.findIndex((step, index) => !other.steps[index] || step[2] !== other.steps[index][2]);
    return place < 0 ? null : place;
  };

  function drawStep([observation, reason, action, valid], number, mark) {
    const summary = element("summary", "", element("span", "number", String(number)), " ", element("code", "", strings[action]));
    if (!valid) summary.append(" ", element("span", "badge bad", "invalid"));
    if (mark) summary.append(" ", element("span", "badge", mark));
    const details = element("details", "", summary, element("p", "observation", strings[observation]),
      strings[reason] ? element("p", "reason", strings[reason]) : element("p", "reason none", "no reason given"));
    return element("li", mark ? "different" : "", details);
  }

  function drawEpisode(episode, index, first) {
    const arm = arms[index];
    const difference = index ? firstDifference(episode, first) : null;
    const heading = element("h3", "", arm.label, " ", element("span", `badge ${outcomeClass(episode)}`, outcome(episode)));
    heading.id = `arm-${index}`;
    const facts = [`round ${arm.round}`, `seed ${arm.seed}`, `${episode.steps.length} steps`,
      `score ${episode.score === null ? "none" : Number(episode.score.toFixed(3))}`, episode.stop.replace("_", " "), episode.error];
    const steps = episode.steps.map((step, place) =>
      drawStep(step, place + 1, place === difference ? `differs from ${arms[0].label}` : ""));
    const article = element("article", "", heading, element("p", "note", facts.filter(Boolean).join(", ")), element("ol", "", ...steps));
    article.setAttribute("aria-labelledby", heading.id);
    return article;
  }

  function show(place) {
    const task = tasks[place];
    byId("task").selectedIndex = place;
    byId("previous").disabled = place === 0;
    byId("next").disabled = place === tasks.length - 1;
    byId("about").textContent = `${task.instruction} (${task.kind}, ${task.id})`;
    byId("episodes").replaceChildren(...task.episodes.map((episode, index) => drawEpisode(episode, index, task.episodes[0])));
    byId("episodes").scrollLeft = 0;
  }

  function go(place) {
    show(place);
    history.replaceState(null, "", `#${new URLSearchParams({ task: tasks[place].id })}`);
  }

  const inAddress = () => {
    const id = new URLSearchParams(location.hash.slice(1)).get("task");
    return tasks.findIndex((task) => task.id === id);
  };

  byId("task").replaceChildren(...tasks.map((task) => {
    const solved = task.episodes.filter((episode) => episode.success).length;
    return new Option(`${task.instruction} (${solved} of ${arms.length} arms)`);
  }));
  byId("shown").textContent = tasks.length < total
    ? `${tasks.length} of ${total} tasks: those on which arms differ most. The run folders have all of them.` : `${total} tasks.`;
  byId("task").addEventListener("change", () => go(byId("task").selectedIndex));
  byId("previous").addEventListener("click", () => go(byId("task").selectedIndex - 1));
  byId("next").addEventListener("click", () => go(byId("task").selectedIndex + 1));
  window.addEventListener("hashchange", () => { if (inAddress() >= 0) show(inAddress()); });
  show(Math.max(0, inAddress()));
  if (inAddress() >= 0) byId("compare").scrollIntoView();
})();
