import { closeSync, fstatSync, openSync, readSync } from 'node:fs'

/** Where elf(5) puts what, in a file for 64 bits. Everything this package is published for is little-endian. */
const HEADER = { size: 64, machine: 0x12, sectionsOffset: 0x28, sectionSize: 0x3a, sectionCount: 0x3c }
const MAGIC = '\u007fELF'
const MACHINES: Record<string, number> = { x64: 62, arm64: 183 }

/**
 * What dlopen(3) would not say well of a binary: nothing at all if the file was cut short, for then it dies of SIGBUS;
 * and of one for another processor, that there is no such file.
 */
export function defect(path: string): string | undefined {
  const file = openSync(path, 'r')
  try {
    const header = Buffer.alloc(HEADER.size)
    const isElf = readSync(file, header) === HEADER.size && header.toString('latin1', 0, MAGIC.length) === MAGIC
    if (!isElf) return undefined
    if (header.readUInt16LE(HEADER.machine) !== MACHINES[process.arch]) return `not for ${process.arch}`
    // Linkers write the table of sections last.
    const table = header.readUInt16LE(HEADER.sectionSize) * header.readUInt16LE(HEADER.sectionCount)
    const whole = Number(header.readBigUInt64LE(HEADER.sectionsOffset)) + table
    return fstatSync(file).size < whole ? 'the end of the file is missing' : undefined
  } finally {
    closeSync(file)
  }
}
