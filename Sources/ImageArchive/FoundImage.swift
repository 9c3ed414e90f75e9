import OCI
import Report

/// A name given on the command line for what an archive holds.
struct GivenName: Sendable, Hashable {
    let reference: Reference
    /// Whether a tag or digest was written; `Reference` puts `latest` where there was none.
    let hasTag: Bool

    /// Parses it.
    ///
    /// - Throws: `Failure` of kind `invalidInput`.
    init(_ text: String) throws {
        reference = try Reference(text)
        hasTag = FoundImage.isWhole(String(text.split(separator: "/").last ?? ""))
    }

    func with(tag: String) throws -> Reference {
        try Reference(domain: reference.domain, path: reference.path, tag: tag)
    }
}

/// An image of an archive and what the archive calls it.
struct FoundImage: Sendable {
    var descriptor: Descriptor
    /// The names as they stand in the archive, unchecked.
    var names: [String]
    /// The tag alone, when the archive tells it apart; unchecked.
    var tag: String?

    /// Whether a text is more than a tag: skopeo writes whatever its user said as the name of an image, often only `1.0` or `latest`.
    static func isWhole(_ text: String) -> Bool { text.contains { "/:@".contains($0) } }

    /// Decides on the names.
    ///
    /// A given name with a tag is for an archive with one image. One without a tag is the repository of all images that tell a tag,
    /// and with `latest` the name of a single image that tells none.
    ///
    /// - Throws: `Failure` of kind `usage` when nobody tells a whole name, `conflict` when two images would have the same one,
    ///   `integrity` when the archive's name is none.
    static func named(_ found: [FoundImage], given: GivenName?, at place: String) throws -> [ArchivedImage] {
        var result: [ArchivedImage] = []
        var taken: [Reference: Digest] = [:]
        var positions: [Digest: Int] = [:]
        let isOnly = Set(found.map(\.descriptor.digest)).count == 1
        if let given, given.hasTag, !isOnly {
            throw Failure(
                .usage, "the archive has \(found.count) images, and one name is given", at: place,
                remedy: "give no name, or one without a tag")
        }
        for image in found {
            for name in try image.references(given, isOnly: isOnly, at: place) {
                if let other = taken[name], other != image.descriptor.digest {
                    throw Failure(.conflict, "two images of the archive have the name \(name.familiar)", at: place)
                }
                guard taken.updateValue(image.descriptor.digest, forKey: name) == nil else { continue }
                if let position = positions[image.descriptor.digest] {
                    result[position].names.append(name)
                } else {
                    positions[image.descriptor.digest] = result.count
                    result.append(ArchivedImage(names: [name], descriptor: image.descriptor))
                }
            }
        }
        return result.map { ArchivedImage(names: $0.names, descriptor: $0.descriptor) }
    }

    private func references(_ given: GivenName?, isOnly: Bool, at place: String) throws -> [Reference] {
        if let given {
            if given.hasTag { return [given.reference] }
            var tags: [String] = []
            for text in names + [tag].compactMap(\.self) {
                if let tag = Self.isWhole(text) ? Self.tag(of: text) : text, !tags.contains(tag) { tags.append(tag) }
            }
            if !tags.isEmpty { return try tags.map { try given.with(tag: $0) } }
            if isOnly { return [given.reference] }
        }
        let whole = names.filter(Self.isWhole)
        guard !whole.isEmpty else {
            let told = names.first.map { "only the tag \"\($0.prefix(128))\"" } ?? "no name"
            throw Failure(
                .usage, "the archive tells \(told) for \(descriptor.digest)", at: place,
                remedy: "give the name that it shall have")
        }
        do {
            return try whole.map { try Reference($0) }
        } catch {
            throw Failure(.integrity, "the archive has an image under a name that is none", at: place, causes: [error])
        }
    }

    private static func tag(of name: String) -> String? {
        let last = name.split(separator: "/").last ?? ""
        let plain = last.prefix { $0 != "@" }
        return plain.firstIndex(of: ":").map { String(plain[plain.index(after: $0)...]) }
    }
}
