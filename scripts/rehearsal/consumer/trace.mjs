// Prints the files that @vercel/nft says the script needs.
import { nodeFileTrace } from '@vercel/nft'

const { fileList } = await nodeFileTrace(['check.cjs'])
console.log(JSON.stringify([...fileList]))
