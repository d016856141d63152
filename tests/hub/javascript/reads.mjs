// What a JavaScript program sees of a repository, as JSON: node reads.mjs ENDPOINT REPOSITORY REVISION FOLDER
// Every file is written below FOLDER twice: through Xet where the Hub offers it, and without.
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

import {
	checkRepoAccess,
	countCommits,
	downloadFile,
	fileDownloadInfo,
	fileExists,
	listCommits,
	listFiles,
	modelInfo,
	parseSafetensorsMetadata,
	pathsInfo,
	snapshotDownload,
} from "@huggingface/hub";

const [hubUrl, repo, revision, folder] = process.argv.slice(2);
const asked = { repo, revision, hubUrl };

async function download(path, way, xet) {
	const content = await downloadFile({ ...asked, path, xet });
	const target = join(folder, way, path);
	await mkdir(dirname(target), { recursive: true });
	await writeFile(target, Buffer.from(await content.arrayBuffer()));
}

await checkRepoAccess(asked);
console.debug = () => {}; // the client says there what it downloads

const files = [];
for await (const entry of listFiles({ ...asked, recursive: true, expand: true })) {
	if (entry.type !== "file") continue;
	const [info] = await pathsInfo({ ...asked, paths: [entry.path], expand: true });
	const { etag, size, xet } = await fileDownloadInfo({ ...asked, path: entry.path });
	await download(entry.path, "xet", true);
	await download(entry.path, "plain", false);
	files.push({ listed: entry, info, etag, size, xet: Boolean(xet) });
}

const commits = [];
for await (const commit of listCommits(asked)) commits.push(commit);

const weights = await parseSafetensorsMetadata({ ...asked, computeParametersCount: true });

console.log(
	JSON.stringify({
		files,
		commits,
		head: (await modelInfo({ name: repo, hubUrl, additionalFields: ["sha"] })).sha,
		commitCount: await countCommits(asked),
		model: await modelInfo({ name: repo, revision, hubUrl, additionalFields: ["sha", "tags", "cardData", "filePaths"] }),
		parameters: weights.parameterCount,
		snapshot: await snapshotDownload({ ...asked, cacheDir: join(folder, "cache") }),
		absent: [
			await fileExists({ ...asked, path: "absent" }),
			await fileDownloadInfo({ ...asked, path: "absent" }),
			await downloadFile({ ...asked, path: "absent" }),
		],
	}),
);
