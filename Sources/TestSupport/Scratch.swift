import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// A folder that a test may fill; it is deleted, with all that is in it, when the test ends.
public struct Scratch: ~Copyable {
    /// The folder.
    public let path: FilePath

    /// Makes a new folder below the system's temporary one.
    public init() throws {
        var template = Array("/tmp/sealer-test-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw Errno(rawValue: errno) }
        path = FilePath(platformString: template)
    }

    deinit {
        nftw(path.string, { name, _, _, _ in
            if let name { remove(name) }
            return 0
        }, 32, FTW_DEPTH.rawValue | FTW_PHYS.rawValue)
    }
}
