// Draws what is exported: a JSON document {"language", "text", "onlyParse"} a line comes in, what was drawn of
// it goes out.
//
// Mermaid draws into a page without a screen, where nothing has a size; the texts of boxes and lanes are those
// that a browser shows. Graphviz is the real one, compiled for JavaScript.

import { createInterface } from "node:readline";
import { instance } from "@viz-js/viz";
import { JSDOM } from "jsdom";

const { window } = new JSDOM("<!DOCTYPE html><body></body>", { pretendToBeVisual: true });
const sized = () => ({ x: 0, y: 0, width: 100, height: 20, top: 0, left: 0, right: 100, bottom: 20 });
Object.assign(window.SVGElement.prototype, {
  getBBox: sized,
  getComputedTextLength: () => 100,
  getSubStringLength: () => 100,
});
window.Element.prototype.getBoundingClientRect = sized;
for (const name of ["window", "document", "DOMParser", "XMLSerializer", "Node", "Element", "HTMLElement", "SVGElement"]) {
  globalThis[name] = name === "window" ? window : window[name];
}
globalThis.getComputedStyle = window.getComputedStyle.bind(window);
globalThis.requestAnimationFrame = window.requestAnimationFrame.bind(window);
globalThis.CSSStyleSheet ??= class { cssRules = []; insertRule() {} replaceSync() {} };

const { default: mermaid } = await import("mermaid");
const viz = await instance();
let drawings = 0;

async function drawnByMermaid(text, onlyParse) {
  await mermaid.parse(text);
  if (onlyParse) return {};
  mermaid.initialize({ startOnLoad: false, securityLevel: "strict" });
  const { svg } = await mermaid.render(`drawing${++drawings}`, text);
  const page = new window.DOMParser().parseFromString(svg, "text/html");
  const texts = (chosen) => [...page.querySelectorAll(chosen)].map((element) => {
    element.querySelectorAll("br").forEach((line) => line.replaceWith("\n"));
    return element.textContent;
  });
  return {
    boxes: texts(".node .nodeLabel"),
    lanes: texts(".cluster-label .nodeLabel"),
    edges: page.querySelectorAll(".edgePaths path").length,
    active: page.querySelectorAll("script, img, iframe, a, i, math, .katex").length,
    style: page.querySelector("style")?.textContent ?? "",
  };
}

function drawnByGraphviz(text) {
  const page = new window.DOMParser().parseFromString(viz.renderString(text, { format: "svg" }), "image/svg+xml");
  const texts = (chosen) => [...page.querySelectorAll(chosen)].map((group) =>
    [...group.querySelectorAll(":scope > text")].map((line) => line.textContent).join("\n"));
  return { boxes: texts("g.node"), lanes: texts("g.cluster"), edges: page.querySelectorAll("g.edge").length, active: 0, style: "" };
}

for await (const line of createInterface({ input: process.stdin })) {
  const { language, text, onlyParse } = JSON.parse(line);
  let answer;
  try {
    answer = language === "mermaid" ? await drawnByMermaid(text, onlyParse) : drawnByGraphviz(text);
  } catch (error) {
    answer = { error: String(error) };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
process.exit(0);
