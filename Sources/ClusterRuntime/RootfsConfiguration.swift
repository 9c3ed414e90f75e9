import Clusterfile
import FoundationEssentials
import Report
import SystemPackage
import YAML

/// What documents of kind Config make of files of the rootfs. Values in, values out.
public enum RootfsConfiguration {
    /// A file as the image has it.
    public struct Original: Sendable, Hashable {
        /// What it holds.
        public var bytes: Data
        /// The permission bits.
        public var permissions: UInt32

        /// Makes one.
        public init(bytes: Data, permissions: UInt32) {
            self.bytes = bytes
            self.permissions = permissions
        }
    }

    /// The files that the overlays change, as they should be on every node, in the order in which the overlays first name them.
    ///
    /// Overlays of one path apply one after the other. Those that merge lay their documents over the file's, the first over the
    /// first: mappings field by field, null takes a field out, everything else replaces. Comments of the file are lost then, the
    /// order of its keys is kept; a file that nothing changes in stays as it is, to the byte.
    ///
    /// - Parameters:
    ///   - image: the files of the image, by their paths in the rootfs; paths that are missing are not in the image.
    ///   - rootfs: the folder of the rootfs on the nodes.
    /// - Throws: `Failure` of kind `invalidInput` that names the Config document, the path and the place in the file.
    public static func files(
        overlays: [ConfigOverlay], image: [String: Original], rootfs: FilePath
    ) throws -> [ManagedFile] {
        var order: [String] = []
        var contents: [String: Data] = [:]
        for overlay in overlays {
            if !order.contains(overlay.path) { order.append(overlay.path) }
            let present = contents[overlay.path] ?? image[overlay.path]?.bytes
            contents[overlay.path] = try content(of: overlay, over: present)
        }
        return order.compactMap { path in
            contents[path].map { content in
                // Unpacking leaves these bits and no others.
                let permissions = image[path].map { $0.permissions & 0o1777 } ?? 0o644
                return ManagedFile(
                    rootfs.appending(FilePath(path).components), content, permissions: permissions, needsRestart: false)
            }
        }
    }

    private static func content(of overlay: ConfigOverlay, over present: Data?) throws -> Data {
        guard overlay.strategy == .merge, let present else { return Data(overlay.data.utf8) }
        guard let text = String(validating: present, as: UTF8.self) else {
            throw refused(overlay, "cannot be laid over \(overlay.path): that is no text")
        }
        let lower: [YAMLNode]
        do {
            lower = try YAMLDocuments.parse(text, file: overlay.path)
        } catch {
            throw refused(overlay, "cannot be laid over \(overlay.path): that is no YAML", [error])
        }
        let upper: [YAMLNode]
        do {
            upper = try YAMLDocuments.parse(overlay.data, file: "data")
        } catch {
            throw refused(overlay, "has data that is no YAML", [error])
        }
        let merged = try merge(overlay, upper, over: lower)
        return merged == lower ? present : Data(YAMLNode.text(of: merged).utf8)
    }

    private static func merge(
        _ overlay: ConfigOverlay, _ upper: [YAMLNode], over lower: [YAMLNode]
    ) throws -> [YAMLNode] {
        var result = lower
        for (number, document) in upper.enumerated() {
            guard let fields = document.mapping else {
                throw refused(overlay, "has data with a document that is no mapping: \(document.kindInWords)")
            }
            guard lower.indices.contains(number) else {
                result.append(document)
                continue
            }
            guard let present = lower[number].mapping else {
                let mark = lower[number].mark
                let message = "a mapping was expected, here stands \(lower[number].kindInWords)"
                throw refused(
                    overlay, "cannot be laid over \(overlay.path)",
                    [
                        InvalidText([
                            Diagnostic(file: overlay.path, line: mark.line, column: mark.column, message: message)
                        ])
                    ])
            }
            result[number] = YAMLNode(present.merged(with: fields))
        }
        return result
    }

    private static func refused(_ overlay: ConfigOverlay, _ what: String, _ causes: [any Error] = []) -> Failure {
        let remedy = "lay over YAML only, or replace the whole file with strategy: overwrite"
        return Failure(.invalidInput, what, at: "Config \(overlay.name)", remedy: remedy, causes: causes)
    }
}
