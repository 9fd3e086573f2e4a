/** The oldest Node.js that `engines` in package.json allows, as major and minor. */
const OLDEST = [20, 19] as const

/**
 * What to say to a Node.js too old for this package, if it is. Node.js itself only warns. Kept in a file of its own, in
 * syntax that much older ones can read, for the command to ask before it loads anything that they cannot.
 */
export function nodeTooOld(version: string = process.versions.node): string | undefined {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  if (major > OLDEST[0] || (major === OLDEST[0] && minor >= OLDEST[1])) return undefined
  return `Node.js ${version} is too old: install Node.js ${OLDEST.join('.')} or later`
}
