// The service worker: it stores the site without its weights, so that a second visit works without a network.
//
// `cargo xtask finish-site` fills in the names between underscores. The page itself stores the weights, in caches of
// other names, which are never touched here.
"use strict";

// The files' addresses beside this file, each with its SHA-256. A changed file changes the cache's name, too, so that a
// cache holds one complete version of the site.
const FILES = new Map(Object.entries(__FILES__));
const SITE = "medical-vdm-site-";
const CACHE = SITE + "__VERSION__";
const ROOT = new URL("./", self.location).href;

self.addEventListener("install", (event) => event.waitUntil(install()));
self.addEventListener("activate", (event) => event.waitUntil(activate()));

// A new version waits until no page of the old one is open, or until a page sends this message.
self.addEventListener("message", (event) => {
    if (event.data === "skip-waiting") {
        event.waitUntil(self.skipWaiting());
    }
});

self.addEventListener("fetch", (event) => {
    const file = fileOf(event.request);
    if (file !== undefined) {
        event.respondWith(answer(event.request, file));
    }
});

// All or nothing: no file is stored before every file is there and checked.
async function install() {
    const responses = await Promise.all([...FILES].map(([file, sha256]) => download(file, sha256)));
    const cache = await caches.open(CACHE);
    try {
        await Promise.all(responses.map(([file, response]) => cache.put(ROOT + file, response)));
    } catch (error) {
        await caches.delete(CACHE);
        throw error;
    }
}

async function download(file, sha256) {
    // "no-cache": the browser asks the server whether its copy is current, and loads the file if it is not.
    const response = await fetch(ROOT + file, { cache: "no-cache" });
    const bytes = await response.arrayBuffer();
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    const found = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
    if (!response.ok || found !== sha256) {
        throw new Error(`${file} is not that of this version (status ${response.status})`);
    }
    // A new response: one from a redirect could not open a page, and one that varies could not be stored.
    const headers = new Headers(response.headers);
    headers.delete("Vary");
    headers.delete("Content-Encoding");
    headers.set("Content-Length", bytes.byteLength);
    return [file, new Response(bytes, { headers })];
}

async function activate() {
    const old = (await caches.keys()).filter((name) => name.startsWith(SITE) && name !== CACHE);
    await Promise.all(old.map((name) => caches.delete(name)));
    await self.clients.claim();
}

// The file of a request, without its query; undefined if the service worker does not answer it.
function fileOf(request) {
    const url = new URL(request.url);
    const address = url.origin + url.pathname;
    const asksNetwork = request.mode !== "navigate" && ["reload", "no-store"].includes(request.cache);
    if (!["GET", "HEAD"].includes(request.method) || asksNetwork || !address.startsWith(ROOT)) {
        return undefined;
    }
    const file = address.slice(ROOT.length) || "index.html";
    return FILES.has(file) ? file : undefined;
}

async function answer(request, file) {
    const kept = await caches.match(ROOT + file, { cacheName: CACHE });
    // If the cache was emptied, there is still the network.
    if (kept === undefined) {
        return fetch(request);
    }
    return request.method === "HEAD" ? new Response(null, { headers: kept.headers }) : kept;
}
