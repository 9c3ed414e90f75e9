import Archive
import FoundationEssentials
import Glibc
import OCI
import Report

/// The entry of libFuzzer: what `SEALER_FUZZ` names gets the bytes. A crash, a hang or too much memory is a finding; an error
/// that the parser throws is not.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes = Array(UnsafeBufferPointer(start: start, count: count))
    FuzzTarget.chosen.run(bytes)
    return 0
}

/// What libFuzzer's own main function calls.
@_silgen_name("LLVMFuzzerRunDriver")
private func runDriver(
    _ count: UnsafeMutablePointer<CInt>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?>,
    _ body: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
) -> CInt

/// The main function: the package manager makes the linker take this name for it.
@_cdecl("fuzz_main")
public func fuzzMain(_ count: CInt, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?) -> CInt {
    // Now, not at the first input: a mistake in the name would look like a finding.
    _ = FuzzTarget.chosen
    var count = count
    var arguments = arguments
    return runDriver(&count, &arguments, fuzzOneInput)
}

/// What can be fuzzed.
enum FuzzTarget: String, CaseIterable {
    case tar, layer, gzip, zstd, document, reference, challenge

    /// The one that the environment names.
    static let chosen: FuzzTarget = {
        let name = getenv("SEALER_FUZZ").map { String(cString: $0) } ?? ""
        guard let target = FuzzTarget(rawValue: name) else {
            let known = allCases.map(\.rawValue).joined(separator: ", ")
            let message = Array("SEALER_FUZZ must be one of: \(known)\n".utf8)
            _ = message.withUnsafeBytes { write(2, $0.baseAddress, $0.count) }
            exit(64)
        }
        return target
    }()

    /// Parses the bytes and checks what must hold of whatever is accepted.
    func run(_ bytes: [UInt8]) {
        do {
            switch self {
            case .tar: try Self.tar(bytes)
            case .layer: try Self.layer(bytes)
            case .gzip: try Self.unpack(bytes, .gzip)
            case .zstd: try Self.unpack(bytes, .zstd)
            case .document: try Self.document(bytes)
            case .reference: try Self.reference(bytes)
            case .challenge: Self.challenge(bytes)
            }
        } catch {
            // Refused, as strangers' bytes mostly should be. Any other error is a finding, told as the others here: by a crash.
            precondition(error is Failure, "an error that is no Failure: \(error)")
        }
    }

    /// Reads every entry; a checked path never leaves the tree.
    private static func tar(_ bytes: [UInt8]) throws {
        let reader = TarReader(MemorySource(bytes), place: "fuzz")
        while let entry = try reader.next() {
            if let path = try? ArchivePath(entry.name) {
                precondition(!path.components.contains { $0.elementsEqual(Array("..".utf8)) }, "left the tree")
                precondition(path.bytes.first != UInt8(ascii: "/"), "absolute")
            }
            var size: Int64 = 0
            while try reader.withContent({ size += Int64($0.count) }) != nil {}
            precondition(size == entry.size, "another size than the header says")
        }
    }

    /// Applies the bytes as a layer: every node's parents are folders.
    private static func layer(_ bytes: [UInt8]) throws {
        var listing = TreeListing()
        try listing.apply(MemorySource(bytes), place: "fuzz") { _, _, next in
            while try next({ _ in }) {}
            return "content"
        }
        for path in listing.nodes.keys where !path.parent.isRoot {
            precondition(listing.nodes[path.parent]?.kind == .folder, "a node without a folder")
        }
    }

    /// Unpacks at most 16 MiB.
    private static func unpack(_ bytes: [UInt8], _ compression: Compression) throws {
        let source = LimitedSource(try compression.decoder(MemorySource(bytes), place: "fuzz"), size: 16 << 20)
        try source.copy(to: Nothing(), bufferSize: 1 << 16)
    }

    private final class Nothing: ByteSink {
        func write(_ bytes: UnsafeRawBufferPointer) {}
        func finish() {}
    }

    /// One document is never both a manifest and an index.
    private static func document(_ bytes: [UInt8]) throws {
        let data = Data(bytes)
        let isManifest = (try? Document(data, mediaType: MediaType.manifest)) != nil
        let isIndex = (try? Document(data, mediaType: MediaType.index)) != nil
        precondition(!(isManifest && isIndex), "both a manifest and an index")
        for type in [MediaType.dockerManifest, MediaType.dockerManifestList] {
            for reference in (try? Document(data, mediaType: type))?.references ?? [] {
                precondition(
                    reference.digest.hex.utf8.allSatisfy { $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: ".") })
            }
        }
    }

    /// What a reference prints is read as the same reference.
    private static func reference(_ bytes: [UInt8]) throws {
        let text = String(decoding: bytes, as: UTF8.self)
        let reference = try Reference(text)
        let again = try? Reference(reference.description)
        precondition(again == reference, "does not survive its own text")
        precondition(!reference.path.contains(".."), "a path with ..")
        if let digest = try? Digest(text) { precondition(digest.description == text) }
    }

    private static func challenge(_ bytes: [UInt8]) {
        let challenges = Challenge.parse(String(decoding: bytes, as: UTF8.self))
        for challenge in challenges { precondition(!challenge.scheme.isEmpty) }
    }
}
