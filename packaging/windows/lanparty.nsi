; The installer of the Windows client. `cargo xtask dist windows` calls makensis with:
;
;   VERSION   what Windows shows, such as 0.1.0        OUT      the installer to be made
;   NUMBERS   the same as four numbers, 0.1.0.0        LICENSES a folder with LICENSE-MIT and LICENSE-APACHE
;   CLIENT    lanparty-client.exe                      DRIVER   optional: a folder with the files of tap-windows6
;   WINDOW    lanparty.exe                             SIGN     optional: a command that signs the file behind it
;   HERE      the folder of this script                QUICK    optional: pack nothing, for tests
;
; Everything that is run here is run by its full path with constant words. There is no choice of a folder: what the service starts as the
; system's own user must lie where only administrators write.

Unicode true
Target amd64-unicode
ManifestSupportedOS Win10
ManifestDPIAware true
RequestExecutionLevel admin
!ifdef QUICK
  SetCompress off
!else
  SetCompressor /SOLID lzma
!endif

!include MUI2.nsh
!include LogicLib.nsh
!include WinVer.nsh
!include FileFunc.nsh

Name "lanparty"
BrandingText "lanparty ${VERSION}"
OutFile "${OUT}"
InstallDir "$PROGRAMFILES64\lanparty"
ShowInstDetails show
ShowUninstDetails show

VIProductVersion "${NUMBERS}"
VIAddVersionKey ProductName "lanparty"
VIAddVersionKey FileDescription "lanparty installer"
VIAddVersionKey ProductVersion "${VERSION}"
VIAddVersionKey FileVersion "${VERSION}"
VIAddVersionKey LegalCopyright "MIT OR Apache-2.0"

!ifdef SIGN
  ; The uninstaller is made by makensis itself, so it is signed on the way in.
  !uninstfinalize '${SIGN} "%1"' = 0
!endif

!define CLASS "Software\Classes\lanparty"
!define LISTED "Software\Microsoft\Windows\CurrentVersion\Uninstall\lanparty"
!define SHORTCUT "$SMPROGRAMS\lanparty.lnk"
!define MUI_ICON "${HERE}/lanparty.ico"
!define MUI_UNICON "${HERE}/lanparty.ico"

!define MUI_ABORTWARNING
!define MUI_WELCOMEPAGE_TEXT "lanparty puts this PC into the LAN of a party elsewhere. Setup installs a service, which makes the network \
adapter when you join a room, and a window, which tells it what to do.$\r$\n$\r$\nYour internet stays as it is."
!insertmacro MUI_PAGE_WELCOME
!insertmacro MUI_PAGE_INSTFILES
!ifdef DRIVER
  !define MUI_FINISHPAGE_TEXT "Click an invite of your host, or open lanparty and paste it."
!else
  !define MUI_FINISHPAGE_TEXT "lanparty needs the network driver TAP-Windows6, 9.26 or newer, which is not part of this installer. If it is not \
on this PC yet: it comes with OpenVPN's installer (openvpn.net), where it is called TAP-Windows6.$\r$\n$\r$\nThen click an invite of your host, \
or open lanparty and paste it."
!endif
!define MUI_FINISHPAGE_RUN
!define MUI_FINISHPAGE_RUN_TEXT "Open lanparty"
!define MUI_FINISHPAGE_RUN_FUNCTION OpenWindow
!insertmacro MUI_PAGE_FINISH
!insertmacro MUI_UNPAGE_CONFIRM
!insertmacro MUI_UNPAGE_INSTFILES
!insertmacro MUI_LANGUAGE "English"

Function .onInit
  SetShellVarContext all
  ${IfNot} ${AtLeastWin10}
    MessageBox MB_OK|MB_ICONSTOP "lanparty needs Windows 10 or newer." /SD IDOK
    SetErrorLevel 2
    Quit
  ${EndIf}
FunctionEnd

Function un.onInit
  SetShellVarContext all
FunctionEnd

; By Explorer, which runs as the person at the screen: setup itself has rights that a window does not need.
Function OpenWindow
  Exec '"$WINDIR\explorer.exe" "${SHORTCUT}"'
FunctionEnd

; Fails setup with a sentence and what to do.
!macro Give_up words
  DetailPrint "${words}"
  MessageBox MB_OK|MB_ICONSTOP "${words}" /SD IDOK
  SetErrorLevel 2
  Abort
!macroend

; A program that runs cannot be overwritten, but it can be renamed; what is left of it goes now or with the next start of Windows.
!macro Make_way file
  Delete "${file}.old"
  ${If} ${FileExists} "${file}"
    Rename "${file}" "${file}.old"
    Delete /REBOOTOK "${file}.old"
  ${EndIf}
!macroend

Section "lanparty"
  ${If} ${FileExists} "$INSTDIR\lanparty-client.exe"
    DetailPrint "Stopping the version that is installed"
    nsExec::ExecToLog '"$INSTDIR\lanparty-client.exe" service uninstall'
    Pop $0
    ${If} $0 != 0
      !insertmacro Give_up "The service of the installed version could not be stopped ($0). What to do: leave the room, stop $\"lanparty$\" \
in Windows' list of services, and start this installer again."
    ${EndIf}
  ${EndIf}

  ClearErrors
  SetOutPath "$INSTDIR"
  !insertmacro Make_way "$INSTDIR\lanparty-client.exe"
  !insertmacro Make_way "$INSTDIR\lanparty.exe"
  File "/oname=lanparty-client.exe" "${CLIENT}"
  File "/oname=lanparty.exe" "${WINDOW}"
  File "${HERE}/lanparty.ico"
  File "${LICENSES}/LICENSE-MIT"
  File "${LICENSES}/LICENSE-APACHE"
  WriteUninstaller "$INSTDIR\uninstall.exe"
  ${If} ${Errors}
    !insertmacro Give_up "Not all files could be written to $INSTDIR. What to do: look whether the disk is full, and start this installer again."
  ${EndIf}

!ifdef DRIVER
  SetOutPath "$INSTDIR\driver"
  File "${DRIVER}/*"
  DetailPrint "Adding the network driver TAP-Windows6 to Windows' driver store"
  nsExec::ExecToLog '"$SYSDIR\pnputil.exe" /add-driver "$INSTDIR\driver\OemVista.inf"'
  Pop $0
  ; ERROR_NO_MORE_ITEMS: it is there already. ERROR_SUCCESS_REBOOT_REQUIRED.
  ${If} $0 != 0
  ${AndIf} $0 != 259
  ${AndIf} $0 != 3010
    DetailPrint "Windows did not take the driver ($0). What to do: install OpenVPN, whose installer brings the same one."
  ${Else}
    ; The service looks for this, as a driver in the store shows nowhere else before its first adapter is made.
    WriteRegStr HKLM "Software\lanparty" "driver" "tap-windows6"
  ${EndIf}
  SetOutPath "$INSTDIR"
!endif

  DetailPrint "Installing the service"
  nsExec::ExecToLog '"$INSTDIR\lanparty-client.exe" service install'
  Pop $0
  ${If} $0 != 0
    !insertmacro Give_up "The service could not be installed ($0). What to do: restart Windows, and start this installer again."
  ${EndIf}

  ; The same rule is not made twice.
  nsExec::Exec '"$SYSDIR\netsh.exe" advfirewall firewall delete rule name=lanparty'
  Pop $0
  nsExec::Exec '"$SYSDIR\netsh.exe" advfirewall firewall add rule name=lanparty dir=in action=allow protocol=udp profile=any \
program="$INSTDIR\lanparty-client.exe"'
  Pop $0
  ${If} $0 != 0
    DetailPrint "Windows' firewall took no rule for lanparty ($0), which is needed only where it blocks answers of a relay."
  ${EndIf}

  CreateShortcut "${SHORTCUT}" "$INSTDIR\lanparty.exe" "" "$INSTDIR\lanparty.ico"

  WriteRegStr HKLM "${CLASS}" "" "URL:lanparty invite"
  WriteRegStr HKLM "${CLASS}" "URL Protocol" ""
  WriteRegStr HKLM "${CLASS}\DefaultIcon" "" "$INSTDIR\lanparty.ico"
  ; Behind the two dashes nothing is an option, whatever a link brings along.
  WriteRegStr HKLM "${CLASS}\shell\open\command" "" '"$INSTDIR\lanparty.exe" -- "%1"'

  WriteRegStr HKLM "${LISTED}" "DisplayName" "lanparty"
  WriteRegStr HKLM "${LISTED}" "DisplayVersion" "${VERSION}"
  WriteRegStr HKLM "${LISTED}" "DisplayIcon" "$INSTDIR\lanparty.ico"
  WriteRegStr HKLM "${LISTED}" "Publisher" "lanparty"
  WriteRegStr HKLM "${LISTED}" "InstallLocation" "$INSTDIR"
  WriteRegStr HKLM "${LISTED}" "UninstallString" '"$INSTDIR\uninstall.exe"'
  WriteRegStr HKLM "${LISTED}" "QuietUninstallString" '"$INSTDIR\uninstall.exe" /S'
  WriteRegDWORD HKLM "${LISTED}" "NoModify" 1
  WriteRegDWORD HKLM "${LISTED}" "NoRepair" 1
  ${GetSize} "$INSTDIR" "/S=0K" $0 $1 $2
  IntFmt $0 "0x%08X" $0
  WriteRegDWORD HKLM "${LISTED}" "EstimatedSize" "$0"
SectionEnd

Section "Uninstall"
  DetailPrint "Stopping the service, which leaves the room and puts this PC's network back"
  nsExec::ExecToLog '"$INSTDIR\lanparty-client.exe" service uninstall --with-adapter'
  Pop $0
  ${If} $0 != 0
    !insertmacro Give_up "The service could not be removed ($0). What to do: leave the room, restart Windows, and uninstall again."
  ${EndIf}

  nsExec::Exec '"$SYSDIR\netsh.exe" advfirewall firewall delete rule name=lanparty'
  Pop $0
  DeleteRegKey HKLM "${CLASS}"
  DeleteRegKey HKLM "Software\lanparty"
  Delete "${SHORTCUT}"

  !insertmacro Make_way "$INSTDIR\lanparty-client.exe"
  !insertmacro Make_way "$INSTDIR\lanparty.exe"
  Delete "$INSTDIR\lanparty.ico"
  Delete "$INSTDIR\LICENSE-MIT"
  Delete "$INSTDIR\LICENSE-APACHE"
  ; The driver stays in Windows' store, where other programs may be using it.
  Delete "$INSTDIR\driver\OemVista.inf"
  Delete "$INSTDIR\driver\tap0901.sys"
  Delete "$INSTDIR\driver\tap0901.cat"
  Delete "$INSTDIR\driver\SOURCE.txt"
  RMDir "$INSTDIR\driver"

  MessageBox MB_YESNO|MB_ICONQUESTION|MB_DEFBUTTON2 "Also forget your rooms, your settings and this PC's identity? Without them hosts see you as \
somebody new." /SD IDNO IDNO kept
  ReadEnvStr $0 ProgramData
  ${If} $0 != ""
    RMDir /r "$0\lanparty"
  ${EndIf}
kept:

  Delete "$INSTDIR\uninstall.exe"
  RMDir "$INSTDIR"
  DeleteRegKey HKLM "${LISTED}"
SectionEnd
