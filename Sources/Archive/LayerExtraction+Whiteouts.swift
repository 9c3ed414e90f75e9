import Report
import SystemPackage

extension LayerExtraction {
    private static let prefix = Array(".wh.".utf8)
    private static let opaque = Array(".wh..wh..opq".utf8)
    private static let metadata = Array(".wh..wh.".utf8)

    /// Deletes what a whiteout names (OCI image-spec, layer.md, "Whiteouts").
    ///
    /// - Returns: whether the path was a whiteout.
    func applyWhiteout(_ path: ArchivePath) throws -> Bool {
        guard path.components.contains(where: { $0.starts(with: Self.prefix) }) else { return false }
        func refused(_ why: String) -> Failure { Failure(.integrity, why, at: "\(place): \(path)") }
        guard policy.appliesWhiteouts else { throw refused("is a whiteout, which only layers may have") }
        guard !path.parent.components.contains(where: { $0.starts(with: Self.prefix) }) else {
            // AUFS kept its bookkeeping in such folders, and old layers have them.
            if path.components.contains(where: { $0.starts(with: Self.metadata) }) { return true }
            throw refused("lies below a whiteout")
        }
        if path.name.elementsEqual(Self.opaque) {
            try empty(path.parent)
            return true
        }
        if path.name.starts(with: Self.metadata) { return true }
        let name = path.name.dropFirst(Self.prefix.count)
        guard !name.isEmpty, !name.elementsEqual([UInt8(ascii: ".")]), !name.elementsEqual(Array("..".utf8)) else {
            throw refused("is a whiteout of no name")
        }
        let target = try path.parent.child(name)
        if let folder = try present(path.parent) { try delete(target, in: folder) }
        return true
    }

    /// Deletes what lower layers left in a folder.
    private func empty(_ path: ArchivePath) throws {
        guard let folder = try present(path) else { return }
        for name in try folder.names() { try delete(try path.child(name), in: folder) }
    }

    /// Deletes a name, but keeps what this layer brought there.
    private func delete(_ path: ArchivePath, in folder: FolderHandle) throws {
        let name = path.name.cName
        guard let status = try folder.status(name) else { return }
        if status.isFolder, made.contains(path) {
            let inner = try folder.folder(name)
            for child in try inner.names() { try delete(try path.child(child), in: inner) }
            return
        }
        guard !made.contains(path) else { return }
        try folder.remove(name)
        forget(path)
        summary.deleted += 1
    }
}
