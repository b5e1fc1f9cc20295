"use strict";
(() => {
  // Numbers by value, others as text; cells without a value come last in both directions.
  const key = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
  };
  const text = (row, column) => row.cells[column].textContent;

  function sort(table, column, descending) {
    const rows = [...table.tBodies[0].rows];
    const isNumber = rows.some((row) => key(row, column) !== null);
    rows.sort((one, other) => {
      const [a, b] = [key(one, column), key(other, column)];
      if (isNumber && (a === null || b === null)) return (a === null) - (b === null);
      const order = isNumber ? a - b : text(one, column).localeCompare(text(other, column), "en", { numeric: true });
      return descending ? -order : order;
    });
    table.tBodies[0].append(...rows);
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    const headings = [...table.tHead.rows[0].cells];
    headings.forEach((heading, column) => heading.querySelector("button").addEventListener("click", () => {
      // The first click on a column of numbers shows the largest first.
      const now = heading.getAttribute("aria-sort");
      const isNumber = [...table.tBodies[0].rows].some((row) => key(row, column) !== null);
      const descending = now === null ? isNumber : now === "ascending";
      for (const each of headings) each.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
      sort(table, column, descending);
    }));
  }
})();
