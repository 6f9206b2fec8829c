// Show the studies that hold the typed text.
const find = document.getElementById("find"), shown = document.getElementById("shown");
const rows = [...document.querySelectorAll("#studies tbody tr")];
function filter() {
  const words = find.value.toLowerCase().split(/\s+/);
  for (const row of rows) row.hidden = !words.every(word => row.textContent.toLowerCase().includes(word));
  shown.textContent = `${rows.filter(row => !row.hidden).length} of ${rows.length} studies`;
}
find.addEventListener("input", filter);
filter();
