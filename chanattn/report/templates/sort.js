"use strict";
// A heading sorts its table: rising, then falling. Cells without a value stay last; ties keep their order.
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  const body = table.tBodies[0];
  headings.forEach((heading, column) => {
    heading.firstElementChild.addEventListener("click", () => {
      const rising = heading.getAttribute("aria-sort") !== "ascending";
      const key = (row) => row.cells[column].dataset.value;
      const compare = heading.classList.contains("text")
        ? (a, b) => a.localeCompare(b)
        : (a, b) => Number(a) - Number(b);
      const rows = [...body.rows];
      const known = rows.filter((row) => key(row) !== undefined);
      const unknown = rows.filter((row) => key(row) === undefined);
      known.sort((a, b) => (rising ? 1 : -1) * compare(key(a), key(b)));
      body.append(...known, ...unknown);
      for (const other of headings) other.setAttribute("aria-sort", "none");
      heading.setAttribute("aria-sort", rising ? "ascending" : "descending");
      const order = rising ? "rising" : "falling";
      document.getElementById("announcement").textContent = `sorted by ${heading.textContent}, ${order}`;
    });
  });
}
