// The code that the documents show.

import { readFileSync } from 'node:fs'

import { at } from './paths.ts'

/** The text of a document. */
export function textOf(document: string): string {
  return readFileSync(at(document), 'utf8')
}

/** What stands in the code blocks of a document that are in this language. */
export function snippets(document: string, language: string): string[] {
  const blocks = textOf(document).matchAll(/^```(.*)\n([^]*?)^```$/gm)
  return [...blocks].filter(([, its]) => its === language).map(([, , code]) => code!)
}

/** The test of docs/recipes.md, as its table says to write it for another runner. */
export function recipe(runner: 'vitest' | 'jest' | 'ava'): string {
  const [test] = snippets('docs/recipes.md', 'js')
  const [row] = new RegExp(`^\\| ${runner} .*$`, 'm').exec(textOf('docs/recipes.md'))!
  const lines = [...row.matchAll(/`((?:import|const) [^`]*)`/g)].map(([, line]) => line)
  return test!.replace(/^import .* from 'node:test'$/m, lines.join('\n'))
}
