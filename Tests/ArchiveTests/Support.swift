import Archive
import Glibc
import SystemPackage
import TestSupport
import Testing

extension SeededGenerator {
    /// Bytes that shrink a little, as real ones do.
    mutating func bytes(_ count: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count)
        while bytes.count < count {
            let run = Int.random(in: 1...40, using: &self)
            if Bool.random(using: &self) {
                bytes += [UInt8](repeating: UInt8.random(in: 0...255, using: &self), count: run)
            } else {
                for _ in 0..<run { bytes.append(UInt8.random(in: 0...255, using: &self)) }
            }
        }
        return Array(bytes.prefix(count))
    }
}

/// Runs a shell command, and gives its output; a command that fails fails the test.
@discardableResult
func shell(_ command: String, sourceLocation: SourceLocation = #_sourceLocation) throws -> String {
    let pipe = try #require(popen("set -e; exec 2>&1; \(command)", "r"), sourceLocation: sourceLocation)
    var output: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    while true {
        let count = fread(&buffer, 1, buffer.count, pipe)
        guard count > 0 else { break }
        output += buffer[..<count]
    }
    let status = pclose(pipe)
    let text = String(decoding: output, as: UTF8.self)
    #expect(status == 0, "\(command): \(text)", sourceLocation: sourceLocation)
    return text
}

/// All that a source gives, read in chunks of a given size.
func readAll(_ source: any ByteSource, chunk: Int = 4099) throws -> [UInt8] {
    let sink = MemorySink()
    try source.copy(to: sink, bufferSize: chunk)
    return sink.bytes
}

func write(_ bytes: [UInt8], to path: FilePath) throws {
    let file = try FileDescriptor.open(
        path, .writeOnly, options: [.create, .truncate], permissions: [.ownerReadWrite, .groupRead, .otherRead])
    _ = try file.closeAfter { try file.writeAll(bytes) }
}

func read(_ path: FilePath) throws -> [UInt8] { try readAll(try FileSource(path)) }

func text(_ path: FilePath) throws -> String { String(decoding: try read(path), as: UTF8.self) }

/// An archive in memory.
func archive(_ entries: [(TarEntry, String)]) throws -> [UInt8] {
    let sink = MemorySink()
    let tar = TarWriter(sink)
    for (entry, content) in entries {
        var entry = entry
        entry.size = Int64(content.utf8.count)
        try tar.begin(entry)
        try Array(content.utf8).withUnsafeBytes { try tar.write($0) }
    }
    try tar.finish()
    return sink.bytes
}

extension TarEntry {
    static func file(_ name: String, permissions: UInt32 = 0o644) -> TarEntry {
        TarEntry(.file, name: Array(name.utf8), permissions: permissions)
    }

    static func folder(_ name: String, permissions: UInt32 = 0o755) -> TarEntry {
        TarEntry(.folder, name: Array(name.utf8), permissions: permissions)
    }

    static func link(_ name: String, to target: String) -> TarEntry {
        TarEntry(.symbolicLink, name: Array(name.utf8), linkName: Array(target.utf8))
    }

    static func hardLink(_ name: String, to target: String) -> TarEntry {
        TarEntry(.hardLink, name: Array(name.utf8), linkName: Array(target.utf8))
    }
}

/// What lies at a path, as a comparable list: kind, permissions, content or target, and which names share a file.
func snapshot(_ root: FilePath, times: Bool = false) throws -> [String] {
    // %q would quote differently by locale: names go through od.
    let time = times ? "%T@" : "-"
    let script = """
        cd '\(root)' && find . -mindepth 1 -printf '%P\\t%y\\t%m\\t\(time)\\t%l\\t%n\\0' | LC_ALL=C sort -z | tr '\\0' '\\n' | od -An -c -v -w100000
        cd '\(root)' && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 -r sha256sum | od -An -c -v -w100000
        """
    return try shell(script).split(separator: "\n").map(String.init)
}
