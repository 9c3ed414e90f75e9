import FoundationEssentials
import Remote
import SystemPackage

/// A file of a host's own that gets another content and is not replaced: it may be a mount, as /etc/hosts of a container, or a link,
/// and keeps its owner and its labels.
public enum FileInPlace {
    /// All of the new content is on the host before the first byte of it is written. It is then written at once, no shorter than the
    /// old one, and what is too much is cut off: whoever dies meanwhile leaves the one or the other, with empty lines at the end at
    /// worst.
    private static let script = """
        dd if="$STAGED" of="$FILE" bs=16M conv=notrunc,fsync status=none
        truncate --size="$SIZE" "$FILE"
        rm -f "$STAGED"
        """

    /// Writes a small file, of a MiB at most. Nothing is written where it has that content.
    public static func write(_ bytes: Data, to path: FilePath, on host: any Host) async throws {
        let old = try await host.readFile(path, limit: 1 << 20) ?? Data()
        guard old != bytes else { return }
        let staged = FilePath("/etc/sealer").appending("staged-\(path.lastComponent?.string ?? "file")")
        let padding = Data(repeating: UInt8(ascii: "\n"), count: max(0, old.count - bytes.count))
        try await host.writeFile(staged, bytes + padding, permissions: 0o600)
        try await host.check(
            .script(
                script, environment: ["STAGED": staged.string, "FILE": path.string, "SIZE": String(bytes.count)]),
            purpose: "writing \(path)", limit: .seconds(20))
    }
}
