"use strict";
// The page reads without it: it opens the evidence that a link names, shows one host of many at a
// time, finds hosts by name, and opens all evidence for paper.
(function () {
  var root = document.documentElement;
  var hosts = Array.prototype.slice.call(document.querySelectorAll(".host"));
  var top = document.getElementById("top");
  root.classList.add("js");

  function show() {
    var named = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    var host = named && named.closest(".host");
    if (top) {
      top.classList.toggle("off", Boolean(host));
      hosts.forEach(function (one) { one.classList.toggle("off", one !== host); });
    }
    if (!named || named === top) { return; }
    var details = named.closest("details") || (named.matches("details") && named);
    if (details) { details.open = true; }
    named.scrollIntoView({ block: details ? "nearest" : "start" });
    named.tabIndex = -1;
    named.focus({ preventScroll: true });
  }

  function back(event) {
    if (event.key !== "Escape") { return; }
    var open = document.activeElement && document.activeElement.closest("details[open]");
    if (open) {
      open.open = false;
      open.querySelector("summary").focus();
    } else if (top && location.hash) {
      location.hash = "#top";
    }
  }

  function finder() {
    var label = document.createElement("label");
    var input = document.createElement("input");
    input.id = "find";
    input.type = "search";
    label.append("Find a host: ", input);
    input.addEventListener("input", function () {
      var word = input.value.toLowerCase();
      top.querySelectorAll("tbody tr").forEach(function (row) {
        row.hidden = row.cells[0].textContent.toLowerCase().indexOf(word) < 0;
      });
    });
    top.insertBefore(label, top.querySelector(".matrix"));
  }

  function paper(open) {
    document.querySelectorAll("details").forEach(function (one) {
      if (open) { one.dataset.was = one.open ? "1" : ""; }
      one.open = open || one.dataset.was === "1";
    });
  }

  if (top) { finder(); }
  show();
  window.addEventListener("hashchange", show);
  document.addEventListener("keydown", back);
  window.addEventListener("beforeprint", function () { paper(true); });
  window.addEventListener("afterprint", function () { paper(false); });
}());
