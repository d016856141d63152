// What a JavaScript program puts into a new repository: node writes.mjs ENDPOINT REPOSITORY FOLDER XET
// Every file of FOLDER goes up in one commit, "true" through Xet; another commit removes removed.txt. Prints both.
import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";

import { createRepo, deleteFile, repoExists, uploadFiles, whoAmI } from "@huggingface/hub";

const [hubUrl, repo, folder, xet] = process.argv.slice(2);
const asked = { repo, hubUrl, accessToken: "hf_anything" };

const { name } = await whoAmI(asked);
const before = await repoExists(asked);
await createRepo({ ...asked, visibility: "private" });

const files = [];
for (const path of await readdir(folder)) {
	files.push({ path, content: new Blob([await readFile(join(folder, path))]) });
}
const added = await uploadFiles({ ...asked, files, useXet: xet === "true", commitTitle: "From JavaScript" });
const removed = await deleteFile({ ...asked, path: "removed.txt" });

console.log(JSON.stringify({ name, before, commits: [added.commit.oid, removed.commit.oid] }));
