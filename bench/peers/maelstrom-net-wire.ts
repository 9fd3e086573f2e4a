// The wire of the Maelstrom node on node:net.

/** A line of standard input. */
export interface Request {
  src: string
  body: {
    type: string
    msg_id: number
    node_id?: string
    port?: number
    data?: string
    echo?: unknown
  }
}

/** A key of a reply's body, and its value. */
export type Field = [key: string, value: unknown]

/** A reply's body, with a space after every comma and colon as on Maelstrom's wire. */
export function body(fields: Field[]): string {
  return `{${fields.map(([key, value]) => `"${key}": ${spaced(value)}`).join(', ')}}`
}

/** The line around a body. */
export function envelope(src: string, dest: string, text: string): string {
  return `{"src": ${JSON.stringify(src)}, "dest": ${JSON.stringify(dest)}, "body": ${text}}\n`
}

function spaced(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(spaced).join(', ')}]`
  return `{${Object.entries(value)
    .map(([key, item]) => `${JSON.stringify(key)}: ${spaced(item)}`)
    .join(', ')}}`
}
