import SystemPackage
import TestSupport
import Testing

@testable import LinuxSystem

@Suite struct WriteBackTests {
    @Test func partsOfAFile() throws {
        let scratch = try Scratch()
        let path = scratch.path.appending("x")
        let file = try FileDescriptor.open(
            path, .readWrite, options: [.create], permissions: .ownerReadWrite)
        try file.closeAfter {
            try file.writeAll([UInt8](repeating: 7, count: 1_000_000))
            for offset in stride(from: Int64(0), to: 1_000_000, by: 300_000) {
                // Every local file system of Linux can; others say so, and both is fine.
                _ = try file.writeBack(from: offset, count: 300_000)
            }
        }
        #expect(try readFile(path).count == 1_000_000)
    }

    @Test func whatIsNoFileOrOpenNoMore() throws {
        let (reading, writing) = try FileDescriptor.pipe()
        #expect(try !writing.writeBack(from: 0, count: 10))
        try reading.close()
        try writing.close()
        #expect(throws: Errno.badFileDescriptor) { try writing.writeBack(from: 0, count: 10) }
    }
}
