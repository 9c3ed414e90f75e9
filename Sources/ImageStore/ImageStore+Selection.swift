import OCI
import Report
import SystemPackage

/// An image of the store and every name that it has there.
public struct NamedImage: Sendable, Hashable {
    /// What the names stand for.
    public var descriptor: Descriptor
    /// Its names, at least one, sorted.
    public var names: [Reference]
    /// The name that was asked for; nil when it was asked for by its digest.
    public var asked: Reference?
}

extension ImageStore {
    /// The shortest beginning of a digest that is taken for one, in hexadecimal characters.
    private static let shortestPrefix = 4

    /// Finds the image that a text means: a name, a digest with or without its algorithm, or the beginning of one.
    ///
    /// A name goes before a digest that begins the same.
    ///
    /// - Throws: `Failure` of kind `notFound`, or `usage` when the beginning is that of several images.
    public func select(_ text: String) async throws -> NamedImage {
        let all = try await names()
        if let reference = try? Reference(text), let descriptor = try await resolve(reference) {
            // A name with a digest may leave the tag out; what counts is the name that the store has.
            let asked = all.first { entry in
                entry.descriptor.digest == descriptor.digest && entry.reference.repository == reference.repository
                    && (reference.tag == nil || entry.reference.tag == reference.tag)
            }
            return Self.image(descriptor, all, asked: asked?.reference)
        }
        let hex = text.split(separator: ":", maxSplits: 1).last.map(String.init) ?? text
        let algorithm = text.contains(":") ? String(text.prefix { $0 != ":" }) : nil
        let isPrefix =
            hex.utf8.count >= Self.shortestPrefix
            && hex.utf8.allSatisfy { (48...57).contains($0) || (97...102).contains($0) }
        let found =
            isPrefix
            ? all.filter {
                $0.descriptor.digest.hex.hasPrefix(hex)
                    && (algorithm == nil || algorithm == $0.descriptor.digest.algorithm.rawValue)
            } : []
        guard let first = found.first else {
            throw Failure(
                .notFound,
                "there is no image \(text) in the store",
                at: root.string,
                remedy: "see what there is with: sealer images"
            )
        }
        guard found.allSatisfy({ $0.descriptor.digest == first.descriptor.digest }) else {
            let choices = found.map { "\($0.reference.familiar) (\($0.descriptor.digest.short))" }
            throw Failure(
                .usage,
                "\(text) is the beginning of several digests: \(choices.joined(separator: ", "))",
                at: root.string
            )
        }
        return Self.image(first.descriptor, all, asked: nil)
    }

    private static func image(
        _ descriptor: Descriptor,
        _ all: [(reference: Reference, descriptor: Descriptor)],
        asked: Reference?
    ) -> NamedImage {
        let names = all.filter { $0.descriptor.digest == descriptor.digest }.map(\.reference)
        return NamedImage(
            descriptor: descriptor,
            names: names.sorted { $0.description < $1.description },
            asked: asked
        )
    }
}
