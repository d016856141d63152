// What a JavaScript program makes of the weights of a model, as JSON: node weights.mjs ENDPOINT REPOSITORY
// The Hub's own pages count parameters by the same function; it reads headers and config.json, by ranged requests.
import { parseSafetensorsMetadata } from "@huggingface/hub";

const [hubUrl, repo] = process.argv.slice(2);
const { headers, parameterTotal } = await parseSafetensorsMetadata({
	repo,
	hubUrl,
	computeParametersCount: true,
});
console.log(JSON.stringify({ shards: Object.keys(headers), parameterTotal }));
