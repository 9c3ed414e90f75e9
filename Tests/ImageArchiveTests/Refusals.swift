import Archive
import FoundationEssentials
import Glibc
import ImageArchive
import ImageStore
import LinuxSystem
import OCI
import Report
import SystemPackage
import TestSupport
import Testing

/// Expects a refusal that gives no name, keeps no blob, and touches nothing outside the store.
@discardableResult
func refused(
    _ archive: [UInt8], _ kind: Failure.Kind = .integrity, limits: ArchiveLimits = ArchiveLimits(),
    saying words: String = "",
    sourceLocation: SourceLocation = #_sourceLocation
) async throws -> Failure? {
    let scratch = try Scratch()
    let store = try await ImageStore.new(in: scratch)
    let failure = await #expect(throws: Failure.self, sourceLocation: sourceLocation) {
        try await load(archive, into: store, in: scratch, limits: limits)
    }
    #expect(failure?.kind == kind, "\(String(describing: failure))", sourceLocation: sourceLocation)
    #expect(
        failure?.description.contains(words) == true || words.isEmpty, "\(String(describing: failure))",
        sourceLocation: sourceLocation)
    #expect(try await store.names().isEmpty, sourceLocation: sourceLocation)
    #expect(try store.blobNames().isEmpty, sourceLocation: sourceLocation)
    #expect(try Folder.names(in: store.root.appending("ingest")).isEmpty, sourceLocation: sourceLocation)
    let left = try Folder.names(in: scratch.path).filter { !$0.hasPrefix("archive-") }
    #expect(left == ["store"], sourceLocation: sourceLocation)
    return failure
}

extension SmallImage {
    /// The honest archive, open for more entries.
    func handMade() throws -> HandMade {
        try HandMade().layout().file("index.json", index).blob(manifest).blob(config).blob(layer)
    }
}

/// Tar blocks made by hand, for archives that no honest writer makes.
enum RawTar {
    static func record(_ key: String, _ value: String) -> [UInt8] {
        var length = 0
        while "\(length) \(key)=\(value)\n".utf8.count != length { length = "\(length) \(key)=\(value)\n".utf8.count }
        return Array("\(length) \(key)=\(value)\n".utf8)
    }

    static func padded(_ bytes: [UInt8]) -> [UInt8] {
        bytes + [UInt8](repeating: 0, count: (512 - bytes.count % 512) % 512)
    }

    static func block(_ flag: Character, _ name: String, _ size: Int) -> [UInt8] {
        var block = [UInt8](repeating: 0, count: 512)
        func put(_ text: String, at offset: Int) {
            block.replaceSubrange(offset..<offset + text.utf8.count, with: text.utf8)
        }
        func octal(_ number: Int, _ digits: Int) -> String {
            let text = String(number, radix: 8)
            return String(repeating: "0", count: digits - text.utf8.count) + text
        }
        put(name, at: 0)
        for offset in [100, 108, 116] { put(octal(0, 7), at: offset) }
        put(octal(size, 11), at: 124)
        put(octal(0, 11), at: 136)
        put("        ", at: 148)
        block[156] = flag.asciiValue ?? 0
        put("ustar\u{0}00", at: 257)
        put(octal(block.reduce(0) { $0 + Int($1) }, 6) + "\0", at: 148)
        return block
    }
}
