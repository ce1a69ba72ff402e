// Who is logged in: {token, user_id, team_id, email}, kept for this tab alone. The page at /auth/{provider}/callback
// keeps it under the same key, and comes back to the path it finds under RETURN.

const KEY = "sandglass.session";
const RETURN = "sandglass.return";

export const session = {
  current() {
    try {
      const kept = JSON.parse(sessionStorage.getItem(KEY));
      return kept && kept.token ? kept : null;
    } catch {
      return null;
    }
  },

  begin({ token, user_id, team_id, email }) {
    sessionStorage.setItem(KEY, JSON.stringify({ token, user_id, team_id, email }));
  },

  end() {
    sessionStorage.clear(); // also which terminals were open
  },

  comeBackHere() {
    sessionStorage.setItem(RETURN, location.pathname);
  },
};
