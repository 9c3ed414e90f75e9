import Report
import SystemPackage

/// A checked path inside a tree: relative, without `.` and `..`, valid from birth. Bytes, for file names need not be text.
///
/// Whatever an archive says must pass through here before the file system sees it.
public struct ArchivePath: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// The components joined by single slashes; empty for the tree's root.
    public let bytes: [UInt8]

    /// The root of the tree.
    public static let root = ArchivePath(checked: [])

    /// The longest path, in bytes: Linux takes no longer one in a call.
    public static let maximumLength = 4095

    private init(checked bytes: [UInt8]) {
        self.bytes = bytes
    }

    /// Checks a path as an archive states it; `./a//b/` becomes `a/b`.
    ///
    /// - Throws: `Failure` of kind `integrity` for an empty or absolute path, one with a `..`, a NUL, a component of more than
    ///   255 bytes, or of more than 4095 bytes in all.
    public init(_ stated: some Collection<UInt8>) throws {
        func refused(_ why: String) -> Failure {
            Failure(.integrity, "the path \(why)", at: String(decoding: stated.prefix(300), as: UTF8.self))
        }
        guard let first = stated.first else { throw refused("is empty") }
        guard first != UInt8(ascii: "/") else { throw refused("is absolute") }
        guard stated.count <= Self.maximumLength else { throw refused("is longer than \(Self.maximumLength) bytes") }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(stated.count)
        for component in stated.split(separator: UInt8(ascii: "/")) where !component.elementsEqual([UInt8(ascii: ".")])
        {
            guard !component.elementsEqual(Array("..".utf8)) else { throw refused("has a component ..") }
            guard component.count <= 255 else { throw refused("has a component of more than 255 bytes") }
            guard !component.contains(0) else { throw refused("holds a NUL") }
            if !bytes.isEmpty { bytes.append(UInt8(ascii: "/")) }
            bytes.append(contentsOf: component)
        }
        self.bytes = bytes
    }

    /// Checks a path given as text; a leading slash means the root of the tree.
    ///
    /// - Throws: `Failure` of kind `integrity` as `init(_:)` does.
    public init(inTree path: FilePath) throws {
        let bytes = path.removingRoot().bytes
        if bytes.isEmpty {
            self = .root
        } else {
            try self.init(bytes)
        }
    }

    /// Whether this is the tree's root.
    public var isRoot: Bool { bytes.isEmpty }

    /// The path without its last component; the root's parent is the root.
    public var parent: ArchivePath {
        ArchivePath(checked: bytes.lastIndex(of: UInt8(ascii: "/")).map { Array(bytes[..<$0]) } ?? [])
    }

    /// The last component; empty for the root.
    public var name: ArraySlice<UInt8> {
        bytes.lastIndex(of: UInt8(ascii: "/")).map { bytes[($0 + 1)...] } ?? bytes[...]
    }

    /// The components, first to last.
    public var components: [ArraySlice<UInt8>] { bytes.split(separator: UInt8(ascii: "/")) }

    /// Whether the path is `other` or lies below it.
    public func isWithin(_ other: ArchivePath) -> Bool {
        other.isRoot
            || bytes.starts(with: other.bytes)
                && (bytes.count == other.bytes.count || bytes[other.bytes.count] == UInt8(ascii: "/"))
    }

    /// The path of a child.
    ///
    /// - Throws: `Failure` of kind `integrity` when the name is not one component.
    public func child(_ name: some Collection<UInt8>) throws -> ArchivePath {
        let added = try ArchivePath(name)
        guard added.components.count == 1, added.bytes.count == name.count else {
            throw Failure(.integrity, "is not the name of a file", at: String(decoding: name, as: UTF8.self))
        }
        return ArchivePath(checked: isRoot ? added.bytes : bytes + [UInt8(ascii: "/")] + added.bytes)
    }

    /// The path `other` below this one.
    ///
    /// - Throws: `Failure` of kind `integrity` when the whole is too long.
    public func appending(_ other: ArchivePath) throws -> ArchivePath {
        if isRoot { return other }
        if other.isRoot { return self }
        return try ArchivePath(bytes + [UInt8(ascii: "/")] + other.bytes)
    }

    /// The order of the bytes, in which a folder stands before what is in it.
    public static func < (left: ArchivePath, right: ArchivePath) -> Bool {
        left.bytes.lexicographicallyPrecedes(right.bytes)
    }

    /// The path for people; `.` for the root.
    public var description: String { isRoot ? "." : String(decoding: bytes, as: UTF8.self) }
}

extension FilePath {
    /// The path's bytes, which need not be text.
    var bytes: [UInt8] {
        withPlatformString { pointer in Array(UnsafeBufferPointer(start: pointer, count: length)) }.map(
            UInt8.init(bitPattern:))
    }
}

/// A file name or path as system calls take it: with a NUL behind.
typealias CName = [CChar]

extension Sequence where Element == UInt8 {
    /// These bytes with a NUL behind; the caller knows that they hold none.
    var cName: CName {
        var name: CName = []
        name.reserveCapacity(underestimatedCount + 1)
        for byte in self { name.append(CChar(bitPattern: byte)) }
        name.append(0)
        return name
    }
}
